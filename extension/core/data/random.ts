/** A source of numbers from 0 up to 1. */
export type Random = () => number;

/** The generator mulberry32: a seed gives the same numbers everywhere. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One number of the standard normal distribution (Box and Muller). */
export function standardNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** The items in random order (Fisher and Yates). */
export function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}

/**
 * At most `count` of the numbers 0 to `size` − 1, chosen at random, in ascending order; none of those
 * that are chosen where `after` are asked for.
 */
export function choose(count: number, size: number, random: Random, after = 0): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  return after === 0 && count >= size
    ? all
    : shuffle(all, random)
        .slice(after, after + count)
        .sort((a, b) => a - b);
}
