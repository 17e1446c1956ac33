import type { DType, LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { FormSpec } from './form-spec';
import { mapTensors } from './form-facts';
import type { MatrixForm } from '../matrix-form';

const suffix = '.weight';

/** Whether the weight's name leaves room for the names of what stands for it. */
export function isStorable(weight: string): boolean {
  return weight.endsWith(suffix);
}

/**
 * The tensors of a form in the place of `NAME.weight`, by their names in a checkpoint: NAME.weight of
 * a dense matrix; of a low rank NAME.left.weight [out, rank] and NAME.right.weight [rank, in], or what
 * stands for those; of a matrix product operator NAME.core.0, NAME.core.1, … and NAME.input_scale;
 * NAME.quants, NAME.scales and NAME.zeros of whole numbers.
 */
export function storedTensors<T>(weight: string, form: MatrixForm<T>): [name: string, tensor: T][] {
  const tensors: [string, T][] = [];
  mapTensors(form, (tensor, part) => tensors.push([`${stem(weight)}.${part}`, tensor]));
  return tensors;
}

function stem(weight: string): string {
  return weight.slice(0, -suffix.length);
}

/** Gives a tensor of a checkpoint that has this shape. */
export type TakeTensor = (name: string, shape: readonly number[]) => LazyTensor;

const floats: readonly DType[] = ['F32', 'F16', 'BF16'];

/** Finds the tensors of forms and checks that they are what was said of them. */
export class FormReader {
  public constructor(
    private readonly take: TakeTensor,
    /** Where forms are described, for errors. */
    private readonly file: string,
  ) {}

  /**
   * The form of the matrix [out, in] `weight`.
   * @throws UserError naming the file and the field or tensor at fault.
   */
  public read(weight: string, spec: FormSpec, out: number, input: number): MatrixForm {
    const fault = (problem: string): UserError =>
      new UserError(problem, {
        file: this.file,
        field: `espalier.compressed.${weight}`,
        remedy: 'Weights and config.json do not belong together: compress the model again.',
      });
    if (!isStorable(weight)) {
      throw fault(`It is not the name of a weight, which would end with ${suffix}.`);
    }
    return this.parts(stem(weight), spec, out, input, fault);
  }

  private parts(
    name: string,
    spec: FormSpec,
    out: number,
    input: number,
    fault: (problem: string) => UserError,
  ): MatrixForm {
    switch (spec.kind) {
      case 'dense':
        return { kind: 'dense', weight: this.floats(`${name}${suffix}`, [out, input]) };
      case 'low-rank': {
        const { kind, rank } = spec;
        if (rank > Math.min(out, input)) {
          throw fault(`A rank of ${rank} is more than a matrix [${out}, ${input}] can have.`);
        }
        const left = this.parts(`${name}.left`, spec.left, out, rank, fault);
        const right = this.parts(`${name}.right`, spec.right, rank, input, fault);
        return { kind, rank, left, right };
      }
      case 'mpo':
        return this.mpo(name, spec, [out, input], fault);
      case 'block-quantized': {
        const { kind, bits, blockSize, run } = spec;
        const blocks = Math.ceil(input / blockSize);
        const bytes = (blockSize * bits) / 8;
        const zeros = spec.zeros
          ? { zeros: this.typed(`${name}.zeros`, [out, Math.ceil((blocks * bits) / 8)], ['U8']) }
          : {};
        return {
          kind,
          bits,
          blockSize,
          out,
          in: input,
          quants: this.typed(`${name}.quants`, [out, blocks, bytes], ['U8']),
          scales: this.typed(`${name}.scales`, [out, blocks], ['F32']),
          ...zeros,
          run,
        };
      }
      case 'int8':
        return {
          kind: 'int8',
          quants: this.typed(`${name}.quants`, [input, out], ['I8']),
          scales: this.typed(`${name}.scales`, [out], ['F32']),
        };
    }
  }

  private mpo(
    name: string,
    { kind, sites, bonds, run, inputScale }: Extract<FormSpec, { kind: 'mpo' }>,
    [out, input]: readonly [number, number],
    fault: (problem: string) => UserError,
  ): MatrixForm {
    const product = (all: readonly number[]): number => all.reduce((a, b) => a * b, 1);
    if (product(sites.out) !== out || product(sites.in) !== input) {
      throw fault(
        `Sites of ${sites.out.join('·')} by ${sites.in.join('·')} do not make a matrix [${out}, ${input}].`,
      );
    }
    if (sites.out.length !== sites.in.length || bonds.length !== sites.out.length - 1) {
      throw fault('There is to be a bond between every two sites.');
    }
    for (const [k, bond] of bonds.entries()) {
      const before = product(sites.out.slice(0, k + 1)) * product(sites.in.slice(0, k + 1));
      const most = Math.min(before, (out * input) / before);
      if (bond > most) {
        throw fault(`Bond ${k} is ${bond}, where ${most} is the most that its sites can hold.`);
      }
    }
    const cores = sites.out.map((size, k) =>
      this.floats(`${name}.core.${k}`, [bonds[k - 1] ?? 1, size, sites.in[k] ?? 1, bonds[k] ?? 1]),
    );
    const scale = inputScale ? { inputScale: this.floats(`${name}.input_scale`, [input]) } : {};
    return { kind, sites, bonds, cores, run, ...scale };
  }

  private floats(name: string, shape: readonly number[]): LazyTensor {
    return this.typed(name, shape, floats);
  }

  private typed(name: string, shape: readonly number[], dtypes: readonly DType[]): LazyTensor {
    const tensor = this.take(name, shape);
    if (!dtypes.includes(tensor.dtype)) {
      throw new UserError(`Its dtype is ${tensor.dtype}, where ${dtypes.join(' or ')} is needed.`, {
        file: tensor.file,
        field: name,
        remedy: 'Weights and config.json do not belong together: compress the model again.',
      });
    }
    return tensor;
  }
}
