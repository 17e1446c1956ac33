import type { EstimatedDistance } from '../../metrics/term-sample';
import type { Compression } from '../compression-choice';
import { wayName } from './ways';

/** A level of a way to compress a layer. */
export interface Rung {
  /** Its place among all that is tried on the layer. */
  readonly place: number;
  /** The squared relative error that it makes in the layer's outputs. */
  readonly size: number;
}

/** Levels of one way to compress a layer, from the least error of its outputs to the largest. */
export type Ladder = readonly Rung[];

/**
 * Ladders of what is tried on a layer.
 * @param errors of the layer's outputs; a level without a known error stands in no ladder
 */
export function laddersOf(
  compressions: readonly Compression[],
  errors: readonly (number | undefined)[],
): Ladder[] {
  const ways = new Map<string, Rung[]>();
  for (const [place, compression] of compressions.entries()) {
    const { [place]: error = 0 } = errors;
    if (error > 0) {
      const name = wayName(compression);
      ways.set(name, [...(ways.get(name) ?? []), { place, size: error ** 2 }]);
    }
  }
  return [...ways.values()].map((rungs) => rungs.sort((a, b) => a.size - b.size));
}

/** How far a level lies from the straight line between two measured ones, as a share of what that line turns by. */
const bend = 0.5;

/**
 * Distances of the levels between measured ones. A distance is nearly in proportion to the squared error of
 * the layer's outputs (within 15 % among levels of a way, on SmolLM2-135M), so the logarithm of their ratio is taken to run
 * straight between two measured levels. Its error is theirs, and half of what that line turns by in the middle.
 * @param measured by place; a level that lies between no two is left out of the result
 */
export function interpolate(
  ladder: Ladder,
  measured: ReadonlyMap<number, EstimatedDistance>,
): Map<number, EstimatedDistance> {
  const known = ladder.flatMap((rung, i) => {
    const found = measured.get(rung.place);
    return found === undefined ? [] : [{ ...rung, ...found, i }];
  });
  const found = new Map<number, EstimatedDistance>();
  for (const [k, low] of known.entries()) {
    const high = known[k + 1];
    if (high === undefined) {
      break;
    }
    const turn = Math.log(high.distance / high.size) - Math.log(low.distance / low.size);
    for (const { place, size } of ladder.slice(low.i + 1, high.i)) {
      const way =
        high.size > low.size ? Math.log(size / low.size) / Math.log(high.size / low.size) : 0.5;
      const share = Math.hypot(
        (1 - way) * relativeError(low),
        way * relativeError(high),
        2 * Math.min(way, 1 - way) * bend * turn,
      );
      const distance = (low.distance / low.size) * size * Math.exp(way * turn);
      found.set(place, { distance, standardError: share * distance });
    }
  }
  return found;
}

function relativeError({ distance, standardError = 0 }: EstimatedDistance): number {
  return standardError / distance;
}

/** Places of those levels between measured ones that are to be measured next: of unsure neighbours the middle one. */
export function nextToMeasure(
  ladder: Ladder,
  interpolated: ReadonlyMap<number, EstimatedDistance>,
  precision: number,
): number[] {
  const next: number[] = [];
  let unsure: number[] = [];
  for (const { place } of [...ladder, { place: -1 }]) {
    const found = interpolated.get(place);
    if (found !== undefined && !((found.standardError ?? 0) <= precision * found.distance)) {
      unsure.push(place);
    } else {
      const { [unsure.length >> 1]: middle } = unsure;
      next.push(...(middle === undefined ? [] : [middle]));
      unsure = [];
    }
  }
  return next;
}
