import type { Mark, ModelSummary, Round } from './types';
import { overlap, unitsOf } from './units';

/** What a set of sublayers amounts to, and its share of the whole model. */
export interface SelectionTotals {
  readonly sublayers: number;
  /** Single experts of mixtures that stay. */
  readonly experts: number;
  readonly parameters: number;
  readonly bytes: number;
  readonly kvBytesPerToken: number;
  /** Fractions in [0, 1] of the model's sublayers, parameters, bytes and key/value bytes. */
  readonly shares: {
    readonly sublayers: number;
    readonly parameters: number;
    readonly bytes: number;
    readonly kvBytesPerToken: number;
  };
}

/** Ids of the sublayers that a candidate stands for: itself, or both of a block (`block.N`). */
export function sublayersOf(candidate: string, model: ModelSummary): string[] {
  const block = /^block\.(\d+)$/.exec(candidate)?.[1];
  if (block === undefined) return [candidate];
  return model.sublayers.filter((one) => one.block === Number(block)).map((one) => one.id);
}

/** Sublayer ids of a list of candidates, each once, in order. */
export function expandSublayers(candidates: readonly string[], model: ModelSummary): string[] {
  return [...new Set(candidates.flatMap((one) => sublayersOf(one, model)))];
}

/** Sublayer ids that the first `count` rounds remove, without those that must stay. */
export function removedAfter(
  rounds: readonly Round[],
  count: number,
  protectedIds: readonly string[],
  model: ModelSummary,
): string[] {
  const kept = expandSublayers(protectedIds, model);
  const removed = rounds.slice(0, count).map((round) => round.removed);
  return expandSublayers(removed, model).filter((id) => !kept.some((one) => overlap(id, one)));
}

export function totalsOf(removed: Iterable<string>, model: ModelSummary): SelectionTotals {
  const chosen = new Set(removed);
  const whole = model.sublayers.filter((one) => chosen.has(one.id));
  const within = unitsOf(model).filter(
    ({ id, block, expert }) =>
      expert !== undefined && chosen.has(id) && !chosen.has(`block.${block}.expert`),
  );
  const gone = [...whole, ...within];
  const sum = (
    items: ModelSummary['sublayers'],
    field: 'parameters' | 'bytes' | 'kvBytesPerToken',
  ) => items.reduce((total, one) => total + one[field], 0);
  const parameters = sum(gone, 'parameters');
  const bytes = sum(gone, 'bytes');
  const kvBytesPerToken = sum(gone, 'kvBytesPerToken');
  return {
    sublayers: whole.length,
    experts: within.length,
    parameters,
    bytes,
    kvBytesPerToken,
    shares: {
      sublayers: share(whole.length, model.sublayers.length),
      parameters: share(parameters, model.parameters),
      bytes: share(bytes, model.bytes),
      kvBytesPerToken: share(kvBytesPerToken, sum(model.sublayers, 'kvBytesPerToken')),
    },
  };
}

function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

/** The mark a click brings next. */
export function nextMark(mark: Mark): Mark {
  switch (mark) {
    case 'keep':
      return 'removed';
    case 'removed':
      return 'protected';
    case 'protected':
      return 'keep';
  }
}
