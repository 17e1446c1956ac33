import type { Round, SurrogateRecord } from '../layer-profile';

/** How often the surrogate of a search was right; undefined where it proposed nothing. */
export function surrogateRecord(rounds: readonly Round[]): SurrogateRecord | undefined {
  const proposed = rounds.flatMap(({ distance, decision }) =>
    decision?.expected === undefined
      ? []
      : [
          {
            place: decision.expected.place,
            logError: Math.abs(Math.log(decision.expected.distance / distance)),
          },
        ],
  );
  if (proposed.length === 0) {
    return undefined;
  }
  // A distance of 0 has no logarithm.
  const logErrors = proposed.map(({ logError }) => logError).filter(Number.isFinite);
  return {
    rounds: proposed.length,
    first: proposed.filter(({ place }) => place === 1).length,
    amongFour: proposed.filter(({ place }) => place <= 4).length,
    ...(logErrors.length === 0 ? {} : { meanLogError: meanOf(logErrors) }),
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
