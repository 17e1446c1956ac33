/** Returns uniform random numbers in [0, 1). */
export type Random = () => number;

/** mulberry32 generator. A seed gives the same numbers on every platform. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal random number (Box–Muller). */
export function standardNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Items in random order (Fisher–Yates). */
export function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}

/**
 * Selects up to `count` random indices below `size`, ascending, excluding those that a call with count `after` and the
 * same random numbers selects.
 */
export function choose(count: number, size: number, random: Random, after = 0): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  return after === 0 && count >= size
    ? all
    : shuffle(all, random)
        .slice(after, after + count)
        .sort((a, b) => a - b);
}
