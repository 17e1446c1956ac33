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
  return {
    rounds: proposed.length,
    first: proposed.filter(({ place }) => place === 1).length,
    amongFour: proposed.filter(({ place }) => place <= 4).length,
    meanLogError: proposed.reduce((sum, { logError }) => sum + logError, 0) / proposed.length,
  };
}
