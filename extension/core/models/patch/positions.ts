import { UserError } from '../../user-error';
import { say } from '../../message';

/** Point in the plane. */
export type Place = readonly [x: number, y: number];

/**
 * Sine-cosine features of places, [places, width] row by row: sin xω, cos xω, sin yω, cos yω with
 * ω_k = 10000^(−k / (width / 4 − 1)) (Beyer et al. 2022, arXiv 2205.01580).
 * @throws UserError when the width is not a multiple of 4 of at least 8.
 */
export function sinCosPositions(places: readonly Place[], width: number): Float32Array {
  const count = width / 4;
  if (!Number.isInteger(count) || count < 2) {
    throw new UserError(
      'width-not-divisible',
      say`Position features need a width divisible by 4, not ${width}.`,
      {
        remedy: say`Use a multiple of 4, at least 8.`,
      },
    );
  }
  const frequencies = Array.from({ length: count }, (_, k) => 10_000 ** (-k / (count - 1)));
  const waves = (at: number): number[] => [
    ...frequencies.map((frequency) => Math.sin(at * frequency)),
    ...frequencies.map((frequency) => Math.cos(at * frequency)),
  ];
  return Float32Array.from(places.flatMap(([x, y]) => [...waves(x), ...waves(y)]));
}
