/** Sample of ids that represents the whole vocabulary. */
export interface VocabularySample {
  /** Ascending. */
  readonly ids: Int32Array;
  /** log(1/π) of each id, where π is its inclusion probability. */
  readonly logWeights: Float32Array;
}

/** Exponent below 1: improbable ids are sampled more often, since the other model may find them probable. */
const massExponent = 0.85;
/** Added to every mass, so that each id can be sampled. */
const leastMass = 1e-9;

/**
 * Samples ids with inclusion probabilities π that follow their masses, so that sums over the vocabulary with weights
 * 1/π are unbiased (Horvitz and Thompson 1952). Uses systematic sampling: ids at equal steps of the cumulative
 * probability. Ids with π ≥ 1 and those in `always` are included with certainty.
 * @param masses probability of each id, summed over rows
 * @param count sample size, less than the vocabulary size
 * @param offset position of the first id in the first step, from 0 up to 1
 */
export function sampleVocabulary(
  masses: Float32Array,
  count: number,
  always: Iterable<number>,
  offset = 0.5,
): VocabularySample {
  const sizes = Float64Array.from(masses, (mass) => (mass + leastMass) ** massExponent);
  const isCertain = new Uint8Array(masses.length);
  for (const id of always) {
    isCertain[id] = 1;
  }
  const chancePerSize = markCertain(sizes, isCertain, count);
  const ids = new Int32Array(count);
  const logWeights = new Float32Array(count);
  let drawn = 0;
  let summed = 0;
  let next = offset;
  sizes.forEach((size, id) => {
    let chance = 1;
    if (isCertain[id] !== 1) {
      chance = size * chancePerSize;
      summed += chance;
      if (summed <= next) {
        return;
      }
      next++;
    }
    ids[drawn] = id;
    logWeights[drawn] = -Math.log(chance);
    drawn++;
  });
  return { ids: ids.subarray(0, drawn), logWeights: logWeights.subarray(0, drawn) };
}

/** Ids with the largest masses, ascending. */
export function mostProbableIds(masses: Float32Array, count: number): Int32Array {
  const least = masses.toSorted().at(-count) ?? 0;
  let ties = count - masses.reduce((above, mass) => above + (mass > least ? 1 : 0), 0);
  const ids = new Int32Array(count);
  let chosen = 0;
  masses.forEach((mass, id) => {
    if (mass > least || (mass === least && ties-- > 0)) {
      ids[chosen++] = id;
    }
  });
  return ids;
}

/** Marks the ids whose inclusion probability would exceed 1. @returns inclusion probability of the others per size */
function markCertain(sizes: Float64Array, isCertain: Uint8Array, count: number): number {
  for (;;) {
    let rest = 0;
    let left = count;
    sizes.forEach((size, id) => {
      if (isCertain[id] === 1) {
        left--;
      } else {
        rest += size;
      }
    });
    const chancePerSize = Math.max(0, left) / rest;
    let marked = 0;
    sizes.forEach((size, id) => {
      if (isCertain[id] !== 1 && size * chancePerSize >= 1) {
        isCertain[id] = 1;
        marked++;
      }
    });
    if (marked === 0) {
      return chancePerSize;
    }
  }
}
