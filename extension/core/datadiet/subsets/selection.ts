import { argsort } from '../../data/rank-correlation';
import { seededRandom, shuffle } from '../../data/random';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Policies for selecting examples by score. */
export const policies = ['max', 'window', 'random'] as const;
export type Policy = (typeof policies)[number];

export interface SelectionRequest {
  /** Share of examples to keep, above 0 and at most 1. */
  readonly keep: number;
  /** `max` keeps the highest scores, `window` the highest after skipping a share, `random` any. */
  readonly policy: Policy;
  /** Share of highest scores that `window` skips. */
  readonly offset?: number;
  /** Keeps the same share of every class, at least one example. */
  readonly balanced: boolean;
  /** Seed for `random` and for ordering equal scores. */
  readonly seed: number;
}

/**
 * Selects examples by score and returns ascending indices.
 * @param labels class of each example; required for a balanced selection
 * @param among candidates; all by default
 * @throws UserError if shares are out of range, or classes needed for balancing are unknown.
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
    throw new UserError(
      'classes-missing',
      say`The examples have no known classes, so they cannot be balanced.`,
      {
        field: 'labels',
        remedy: say`Specify the dataset, or select without balance.`,
      },
    );
  }
  const chosen = groupByClass(labels, among).map((members) => {
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
  // Shuffled first, so that ties (frequent for forgetting) aren't resolved by position.
  const drawn = shuffle([...among], seededRandom(seed));
  if (policy === 'random') {
    return Int32Array.from(drawn.slice(0, count));
  }
  const order = argsort(Float64Array.from(drawn, (index) => -(scores[index] ?? 0)));
  const start = policy === 'window' ? Math.round(among.length * offset) : 0;
  // Rounding may request one example more than remain.
  const first = Math.max(0, Math.min(start, among.length - count));
  return Int32Array.from(order.subarray(first, first + count), (place) => drawn[place] ?? 0);
}

/** Examples of each nonempty class, in the order of classes. */
export function groupByClass(labels: Int32Array, among: Int32Array): number[][] {
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
    throw new UserError('keep-invalid', say`It must be above 0 and at most 1, not ${keep}.`, {
      field: 'keep',
      remedy: undefined,
    });
  }
  if (policy !== 'window') {
    return;
  }
  if (offset === undefined || !(offset >= 0 && offset + keep <= 1 + 1e-9)) {
    throw new UserError(
      offset === undefined ? 'offset-missing' : 'offset-invalid',
      offset === undefined
        ? say`The policy window needs the share of examples that it drops.`
        : say`keep ${keep} and offset ${offset} must add up to at most 1.`,
      { field: 'offset', remedy: say`Choose an offset of at least 0 and at most 1 − keep.` },
    );
  }
}
