import type { Work } from './kernels';

/** Milliseconds of a kernel per unit of work; their sum is its time. */
export interface Rates {
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
