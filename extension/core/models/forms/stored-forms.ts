import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { MatrixEncoding } from '../matrix-encoding';
import { mapTensors } from './form-facts';
import type { FormSpec } from './form-spec';

const suffix = '.weight';

/**
 * The tensors of a form in the place of `NAME.weight`, by their names in a checkpoint: NAME.weight of
 * a dense matrix; of a low rank NAME.left.weight [out, rank] and NAME.right.weight [rank, in], or what
 * stands for those; of a matrix product operator NAME.core.0, NAME.core.1, … and NAME.input_scale;
 * NAME.quants, NAME.scales, NAME.zeros and NAME.input_scale of quantized ones.
 */
export function storedTensors<T>(
  weight: string,
  form: MatrixEncoding<T>,
): [name: string, tensor: T][] {
  const tensors: [string, T][] = [];
  mapTensors(form, (tensor, part) => tensors.push([`${stem(weight)}.${part}`, tensor]));
  return tensors;
}

/** Whether a weight's name leaves room for the names of what stands for it. */
export function isStorable(weight: string): boolean {
  return weight.endsWith(suffix);
}

function stem(weight: string): string {
  return weight.slice(0, -suffix.length);
}

/** The form that stands for the matrix `weight` [out, in], its tensors given by `find`. */
export function findForm(
  weight: string,
  spec: FormSpec,
  sizes: { readonly out: number; readonly in: number },
  find: (name: string) => LazyTensor,
): MatrixEncoding {
  return formAt(stem(weight), spec, sizes, find);
}

function formAt(
  name: string,
  spec: FormSpec,
  { out, in: input }: { readonly out: number; readonly in: number },
  find: (name: string) => LazyTensor,
): MatrixEncoding {
  switch (spec.kind) {
    case 'dense':
      return { kind: 'dense', weight: find(`${name}${suffix}`) };
    case 'low-rank': {
      const { kind, rank } = spec;
      const left = formAt(`${name}.left`, spec.left, { out, in: rank }, find);
      const right = formAt(`${name}.right`, spec.right, { out: rank, in: input }, find);
      return { kind, rank, left, right };
    }
    case 'mpo': {
      const { inputScale, ...rest } = spec;
      return {
        ...rest,
        cores: spec.sites.out.map((_, site) => find(`${name}.core.${site}`)),
        ...(inputScale ? { inputScale: find(`${name}.input_scale`) } : {}),
      };
    }
    case 'block-quantized': {
      const { zeros, ...rest } = spec;
      return {
        ...rest,
        out,
        in: input,
        quants: find(`${name}.quants`),
        scales: find(`${name}.scales`),
        ...(zeros ? { zeros: find(`${name}.zeros`) } : {}),
      };
    }
    case 'int8':
      return {
        kind: spec.kind,
        quants: find(`${name}.quants`),
        scales: find(`${name}.scales`),
        ...(spec.inputScale ? { inputScale: find(`${name}.input_scale`) } : {}),
      };
  }
}
