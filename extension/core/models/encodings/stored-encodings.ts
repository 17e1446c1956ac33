import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { MatrixEncoding } from '../matrix-encoding';
import { mapTensors } from './encoding-facts';
import type { EncodingSpec } from './encoding-spec';

const suffix = '.weight';

/**
 * Tensors that replace `NAME.weight`, by their names in a checkpoint: NAME.weight for dense;
 * NAME.left.weight [out, rank] and NAME.right.weight [rank, in], or their quantized tensors, for
 * low rank; NAME.core.0, NAME.core.1, … and NAME.input_scale for a matrix product operator;
 * NAME.quants, NAME.scales, NAME.zeros and NAME.input_scale for quantized encodings.
 */
export function storedTensors<T>(
  weight: string,
  form: MatrixEncoding<T>,
): [name: string, tensor: T][] {
  const tensors: [string, T][] = [];
  mapTensors(form, (tensor, part) => tensors.push([`${stem(weight)}.${part}`, tensor]));
  return tensors;
}

/** True if the names of an encoding's tensors can be derived from a weight's name. */
export function isStorable(weight: string): boolean {
  return weight.endsWith(suffix);
}

function stem(weight: string): string {
  return weight.slice(0, -suffix.length);
}

/** Encoding of the weight `weight` [out, in], with its tensors returned by `find`. */
export function findEncoding(
  weight: string,
  spec: EncodingSpec,
  sizes: { readonly out: number; readonly in: number },
  find: (name: string) => LazyTensor,
): MatrixEncoding {
  return formAt(stem(weight), spec, sizes, find);
}

function formAt(
  name: string,
  spec: EncodingSpec,
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
    case 'group-quantized': {
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
