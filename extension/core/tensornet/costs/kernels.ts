import { elementCount } from '../../checkpoints/lazy-tensor';
import { encodingSizes } from '../../models/encodings/encoding-facts';
import type { MatrixEncoding, MpoEncoding } from '../../models/matrix-encoding';

/** Kernels of ONNX Runtime by encoding; `chain` is the matmuls and transposes of an MPO's sites. */
export const kernelNames = ['dense', 'int8', 'blocks-8', 'blocks-4', 'chain'] as const;
export type KernelName = (typeof kernelNames)[number];

/** Work of a kernel, which determines its time. */
export interface Work {
  readonly kernel: KernelName;
  /** Number of operator calls. */
  readonly calls: number;
  /** Bytes of the weights that are read. */
  readonly bytes: number;
  /** Multiply-adds of all rows. */
  readonly macs: number;
  /** Input and output elements of each operator, over all rows. */
  readonly moved: number;
}

interface Shaped {
  readonly shape: readonly number[];
}

/** Work of an encoding for `rows` input rows; two items for low rank. */
export function encodingWork(form: MatrixEncoding<Shaped>, rows: number): Work[] {
  switch (form.kind) {
    case 'low-rank':
      return [...encodingWork(form.right, rows), ...encodingWork(form.left, rows)];
    case 'mpo':
      return [form.run === 'chained' ? chainWork(form, rows) : matrixWork('dense', 4, form, rows)];
    case 'dense':
      return [matrixWork('dense', 4, form, rows)];
    case 'int8':
      return [matrixWork('int8', 1, form, rows)];
    case 'group-quantized': {
      const perWeight = form.bits / 8 + Float32Array.BYTES_PER_ELEMENT / form.groupSize;
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
  const { out, in: inputs } = encodingSizes(form);
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
 * Work of the chain: site k multiplies [rows · o₁ … o_{k−1} · i_{k+1} … i_N, χ_{k−1}·i_k] by [χ_{k−1}·i_k, o_k·χ_k],
 * and a transpose moves the result once more.
 */
function chainWork(
  { sites, bonds }: Pick<MpoEncoding<Shaped>, 'sites' | 'bonds'>,
  rows: number,
): Work {
  let [bytes, macs, moved] = [0, 0, 0];
  sites.out.forEach((out, k) => {
    const inner = (bonds[k - 1] ?? 1) * (sites.in[k] ?? 1);
    const columns = out * (bonds[k] ?? 1);
    const others = rows * elementCount(sites.out.slice(0, k)) * elementCount(sites.in.slice(k + 1));
    bytes += Float32Array.BYTES_PER_ELEMENT * inner * columns;
    macs += others * inner * columns;
    moved += others * (inner + columns);
  });
  return { kernel: 'chain', calls: sites.out.length, bytes, macs, moved };
}

/** Milliseconds of a kernel per unit of work; their sum is its time. */
interface Rates {
  readonly perCall: number;
  readonly perByte: number;
  readonly perMac: number;
  readonly perMoved: number;
}

/** Work of a kernel with its measured time. */
export interface Sample extends Work {
  readonly milliseconds: number;
}

const passes = 2000;

export function predictTime(rates: Rates, work: Omit<Work, 'kernel'>): number {
  return (
    rates.perCall * work.calls +
    rates.perByte * work.bytes +
    rates.perMac * work.macs +
    rates.perMoved * work.moved
  );
}

/** Non-negative rates with the least sum of squared relative errors over samples of one kernel. */
export function fitRates(samples: readonly Sample[]): Rates {
  const features = samples.map(({ calls, bytes, macs, moved, milliseconds }) =>
    [calls, bytes, macs, moved].map((amount) => amount / milliseconds),
  );
  const solution = [0, 0, 0, 0];
  const errors = samples.map(() => 1);
  for (let pass = 0; pass < passes; pass++) {
    solution.forEach((value, i) => {
      let [product, square] = [0, 0];
      features.forEach((row, sample) => {
        product += (row[i] ?? 0) * (errors[sample] ?? 0);
        square += (row[i] ?? 0) ** 2;
      });
      const next = square > 0 ? Math.max(0, value + product / square) : 0;
      features.forEach((row, sample) => {
        errors[sample] = (errors[sample] ?? 0) - (next - value) * (row[i] ?? 0);
      });
      solution[i] = next;
    });
  }
  const [perCall = 0, perByte = 0, perMac = 0, perMoved = 0] = solution;
  return { perCall, perByte, perMac, perMoved };
}
