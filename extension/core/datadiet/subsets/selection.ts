import { argsort } from '../../data/rank-correlation';
import { seededRandom, shuffle } from '../../data/random';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** How examples are chosen by their scores. */
export const policies = ['max', 'window', 'random'] as const;
export type Policy = (typeof policies)[number];

export interface SelectionRequest {
  /** Share of the examples that is kept, above 0 and at most 1. */
  readonly keep: number;
  /**
   * `max` keeps those of the highest scores, `window` the highest behind those that it drops, `random` any.
   */
  readonly policy: Policy;
  /** Share of the examples, those of the highest scores, that `window` drops. */
  readonly offset?: number;
  /** Keeps the same share of every class, one example at least. */
  readonly balanced: boolean;
  /** What `random` draws from, and how equal scores are ordered. */
  readonly seed: number;
}

/**
 * Chooses examples by their scores: indices in ascending order.
 * @param labels the class of each example; needed for a balanced choice
 * @param among indices that are chosen from; all if absent
 * @throws UserError when shares are out of range, or classes are to be balanced that are not known.
 */
export function selectExamples(
  scores: Float64Array,
  labels: Int32Array | undefined,
  request: SelectionRequest,
  among: Int32Array = Int32Array.from(scores.keys()),
): Int32Array {
  checkRequest(request);
  if (!request.balanced) {
    return chooseFrom(among, scores, request, Math.round(among.length * request.keep)).sort();
  }
  if (labels === undefined) {
    throw new UserError(say`The examples have no known classes, so they cannot be balanced.`, {
      field: 'labels',
      remedy: say`Name the data set, or choose without balance.`,
    });
  }
  const chosen = membersOf(labels, among).map((members) => {
    const count = Math.max(1, Math.round(members.length * request.keep));
    return chooseFrom(Int32Array.from(members), scores, request, count);
  });
  const all = new Int32Array(chosen.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of chosen) {
    all.set(part, at);
    at += part.length;
  }
  return all.sort();
}

function chooseFrom(
  among: Int32Array,
  scores: Float64Array,
  { policy, offset = 0, seed }: SelectionRequest,
  count: number,
): Int32Array {
  // Drawn first, so that equal scores, as of forgetting, are not chosen by their place.
  const drawn = shuffle([...among], seededRandom(seed));
  if (policy === 'random') {
    return Int32Array.from(drawn.slice(0, count));
  }
  const order = argsort(Float64Array.from(drawn, (index) => -(scores[index] ?? 0)));
  const start = policy === 'window' ? Math.round(among.length * offset) : 0;
  // Rounding may ask for one example more than are left.
  const first = Math.max(0, Math.min(start, among.length - count));
  return Int32Array.from(order.subarray(first, first + count), (place) => drawn[place] ?? 0);
}

/** The examples of each class that has any, in the order of classes. */
export function membersOf(labels: Int32Array, among: Int32Array): number[][] {
  const byClass = new Map<number, number[]>();
  for (const example of among) {
    const label = labels[example] ?? 0;
    const members = byClass.get(label) ?? [];
    members.push(example);
    byClass.set(label, members);
  }
  return [...byClass].sort(([a], [b]) => a - b).map(([, members]) => members);
}

function checkRequest({ keep, policy, offset }: SelectionRequest): void {
  if (!(keep > 0 && keep <= 1)) {
    throw new UserError(say`It must be above 0 and at most 1, not ${keep}.`, {
      field: 'keep',
      remedy: undefined,
    });
  }
  if (policy !== 'window') {
    return;
  }
  if (offset === undefined || !(offset >= 0 && offset + keep <= 1 + 1e-9)) {
    throw new UserError(
      offset === undefined
        ? say`The policy window needs the share of examples that it drops.`
        : say`keep ${keep} and offset ${offset} must add up to at most 1.`,
      { field: 'offset', remedy: say`Choose an offset of at least 0 and at most 1 − keep.` },
    );
  }
}
