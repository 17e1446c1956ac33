/** Maps positive values onto [0, 1] by their logarithm. */
export interface LogScale {
  readonly min: number;
  readonly max: number;
  /** 0 at `min` and below (zero included), 1 at `max` and above. */
  position(value: number): number;
}

/** The scale that spans the positive ones of `values`, or undefined when there are none. */
export function logScale(values: Iterable<number>): LogScale | undefined {
  let min = Infinity;
  let max = 0;
  for (const value of values) {
    if (value > 0 && Number.isFinite(value)) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
  }
  if (max === 0) return undefined;
  const span = Math.log(max) - Math.log(min);
  return {
    min,
    max,
    position: (value) => {
      if (value < min) return 0;
      if (value > max) return 1;
      // Numbers that differ in their last digits alone have the same logarithm.
      return span === 0 ? 0.5 : Math.min((Math.log(value) - Math.log(min)) / span, 1);
    },
  };
}

/** Least distance between two numbers of a legend, as a fraction of its length. */
const TICK_GAP = 0.16;

/** Both ends of a scale and the powers of ten between that leave room for their numbers. */
export function scaleTicks(scale: LogScale): number[] {
  if (scale.position(scale.max) < 1) return [scale.min];
  const ticks: number[] = [scale.min];
  let last = 0;
  for (let power = Math.ceil(Math.log10(scale.min)); power <= Math.log10(scale.max); power++) {
    const value = Number(`1e${power}`);
    const position = scale.position(value);
    if (position - last >= TICK_GAP && 1 - position >= TICK_GAP) {
      ticks.push(value);
      last = position;
    }
  }
  if (ticks.length === 1) ticks.push(Math.sqrt(scale.min * scale.max));
  ticks.push(scale.max);
  return ticks;
}
