import type { EstimatedDistance } from '../../metrics/term-sample';
import type { Compression } from '../compression-choice';
import { compressionMethods } from '../compression-methods';
import { schemeName } from './schemes';

/** One setting of a compression scheme. */
export interface Rung {
  /** Index among all compressions of the layer. */
  readonly place: number;
  /** Squared relative error of the layer's outputs. */
  readonly size: number;
}

/** Settings of one compression scheme. */
export interface Ladder {
  /** From the smallest to the largest error of the layer's outputs. */
  readonly rungs: readonly Rung[];
  /** See CompressionMethod.turn. */
  readonly turn: number;
}

/**
 * Groups the compressions of a layer into ladders.
 * @param errors of the layer's outputs; excludes settings without a known error and those that also change the inputs
 */
export function buildLadders(
  compressions: readonly Compression[],
  errors: readonly (number | undefined)[],
): Ladder[] {
  const schemes = new Map<string, { turn: number; rungs: Rung[] }>();
  for (const [place, compression] of compressions.entries()) {
    const { [place]: error = 0 } = errors;
    const { turn, roundsInputs } = compressionMethods[compression.method];
    if (error > 0 && roundsInputs?.(compression.setting) !== true) {
      const name = schemeName(compression);
      const scheme = schemes.get(name) ?? { turn, rungs: [] };
      schemes.set(name, scheme);
      scheme.rungs.push({ place, size: error ** 2 });
    }
  }
  return [...schemes.values()].map(({ turn, rungs }) => ({
    turn,
    rungs: rungs.sort((a, b) => a.size - b.size),
  }));
}

/**
 * Indices of the settings to measure first: the middle one if it determines all others precisely enough, otherwise the
 * mildest and the strongest.
 */
export function measuredFirst({ rungs, turn }: Ladder, precision: number): number[] {
  const middle = rungs[rungs.length >> 1];
  const isEnough =
    middle !== undefined &&
    rungs.every(({ size }) => turn * Math.abs(Math.log(size / middle.size)) <= precision * share);
  const first = isEnough ? [middle] : [rungs[0], rungs.at(-1)];
  return [...new Set(first.flatMap((rung) => (rung === undefined ? [] : [rung.place])))];
}

/** Share of the precision that the error of an interpolated setting may use. */
const share = 0.5;

/** Deviation of a setting from the straight line between two measured ones, as a share of the line's change. */
const bend = 0.5;

/**
 * Estimates the distances of settings that aren't measured. A distance is nearly proportional to the squared error of the
 * layer's outputs, so the logarithm of their ratio is interpolated linearly between two measured settings, and constant
 * beyond them. The standard error is that of the measured settings, plus half of the line's change in the middle, or the
 * typical change up to the setting beyond them.
 * @param measured by index
 */
export function interpolate(
  { rungs, turn }: Ladder,
  measured: ReadonlyMap<number, EstimatedDistance>,
): Map<number, EstimatedDistance> {
  const known = rungs.flatMap((rung, i) => {
    const found = measured.get(rung.place);
    return found === undefined ? [] : [{ ...rung, ...found, i }];
  });
  const found = new Map<number, EstimatedDistance>();
  for (const [i, { place, size }] of rungs.entries()) {
    const low = known.findLast((one) => one.i <= i);
    const high = known.find((one) => one.i >= i);
    const nearest = low ?? high;
    if (low !== undefined && high !== undefined && low !== high) {
      found.set(place, between(low, high, size));
    } else if (low !== high && nearest !== undefined) {
      found.set(place, beyond(nearest, size, turn));
    }
  }
  return found;
}

type Measured = Rung & EstimatedDistance;

function between(low: Measured, high: Measured, size: number): EstimatedDistance {
  const turn = Math.log(high.distance / high.size) - Math.log(low.distance / low.size);
  const way =
    high.size > low.size ? Math.log(size / low.size) / Math.log(high.size / low.size) : 0.5;
  const error = Math.hypot(
    (1 - way) * relativeError(low),
    way * relativeError(high),
    2 * Math.min(way, 1 - way) * bend * turn,
  );
  const distance = (low.distance / low.size) * size * Math.exp(way * turn);
  return { distance, standardError: error * distance };
}

function beyond(from: Measured, size: number, turn: number): EstimatedDistance {
  const distance = (from.distance / from.size) * size;
  const error = Math.hypot(relativeError(from), turn * Math.log(size / from.size));
  return { distance, standardError: error * distance };
}

function relativeError({ distance, standardError = 0 }: EstimatedDistance): number {
  return standardError / distance;
}

/** Indices of the settings to measure next: the middle one between two measured settings that are too uncertain. */
export function nextToMeasure(
  { rungs }: Ladder,
  interpolated: ReadonlyMap<number, EstimatedDistance>,
  precision: number,
): number[] {
  const next: number[] = [];
  let unsure: number[] = [];
  for (const { place } of [...rungs, { place: -1 }]) {
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
