import { elementCount } from '../../checkpoints/lazy-tensor';
import { formSizes } from '../../models/forms/form-facts';
import type { MatrixEncoding, MpoForm } from '../../models/matrix-encoding';

/** What ONNX Runtime runs for a form; `chain` is the products and transposes of an MPO's sites. */
export const kernelNames = ['dense', 'int8', 'blocks-8', 'blocks-4', 'chain'] as const;
export type KernelName = (typeof kernelNames)[number];

/** What the time of a kernel depends on. */
export interface Work {
  readonly kernel: KernelName;
  /** Operators begun. */
  readonly calls: number;
  /** Of the weights as they are read. */
  readonly bytes: number;
  /** Multiplications and additions, of all rows. */
  readonly macs: number;
  /** Numbers that go in and come out of each operator, of all rows. */
  readonly moved: number;
}

interface Shaped {
  readonly shape: readonly number[];
}

/** The work of a form on `rows` rows of inputs; a low rank does two. */
export function worksOf(form: MatrixEncoding<Shaped>, rows: number): Work[] {
  switch (form.kind) {
    case 'low-rank':
      return [...worksOf(form.right, rows), ...worksOf(form.left, rows)];
    case 'mpo':
      return [form.run === 'chained' ? chainWork(form, rows) : matrixWork('dense', 4, form, rows)];
    case 'dense':
      return [matrixWork('dense', 4, form, rows)];
    case 'int8':
      return [matrixWork('int8', 1, form, rows)];
    case 'block-quantized': {
      const perWeight = form.bits / 8 + Float32Array.BYTES_PER_ELEMENT / form.blockSize;
      return [matrixWork(`blocks-${form.bits}`, perWeight, form, rows)];
    }
  }
}

function matrixWork(
  kernel: KernelName,
  bytesPerWeight: number,
  form: MatrixEncoding<Shaped>,
  rows: number,
): Work {
  const { out, in: inputs } = formSizes(form);
  const weights = out * inputs;
  return {
    kernel,
    calls: 1,
    bytes: bytesPerWeight * weights,
    macs: rows * weights,
    moved: rows * (out + inputs),
  };
}

/**
 * Site k multiplies [rows · o₁ … o_{k−1} · i_{k+1} … i_N, χ_{k−1}·i_k] by [χ_{k−1}·i_k, o_k·χ_k], and a
 * transpose moves what comes out once more.
 */
function chainWork({ sites, bonds }: Pick<MpoForm<Shaped>, 'sites' | 'bonds'>, rows: number): Work {
  let [bytes, macs, moved] = [0, 0, 0];
  sites.out.forEach((out, k) => {
    const inner = (bonds[k - 1] ?? 1) * (sites.in[k] ?? 1);
    const outer = out * (bonds[k] ?? 1);
    const others = rows * elementCount(sites.out.slice(0, k)) * elementCount(sites.in.slice(k + 1));
    bytes += Float32Array.BYTES_PER_ELEMENT * inner * outer;
    macs += others * inner * outer;
    moved += others * (inner + outer);
  });
  return { kernel: 'chain', calls: sites.out.length, bytes, macs, moved };
}
