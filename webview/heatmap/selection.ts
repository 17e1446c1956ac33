import { memoryContext } from '../../extension/core/quality-labels';
import type { HeatmapState } from '../../extension/protocol/heatmap';
import type { Mark, ModelSummary, Round } from './types';
import { listUnits } from './units';

/** Parts that a selection removes from a model, and their share of the model. */
export interface SelectionTotals {
  readonly sublayers: number;
  /** Number of single experts removed from MoE layers that remain. */
  readonly experts: number;
  /** Sublayers that stay with fewer channels or heads. */
  readonly widthPruned: number;
  readonly parameters: number;
  readonly bytes: number;
  readonly kvBytesPerToken: number;
  /** Bytes of weights, keys and values at {@link memoryContext} tokens. */
  readonly memory: number;
  /** Fractions in [0, 1] of the model's sublayers, parameters, bytes, key/value bytes and memory. */
  readonly shares: {
    readonly sublayers: number;
    readonly parameters: number;
    readonly bytes: number;
    readonly kvBytesPerToken: number;
    readonly memory: number;
  };
}

/** Ids of the sublayers of a candidate: itself, or both of a block (`block.N`). */
export function candidateSublayers(candidate: string, model: ModelSummary): string[] {
  const block = /^block\.(\d+)$/.exec(candidate)?.[1];
  if (block === undefined) return [candidate];
  return model.sublayers.filter((one) => one.block === Number(block)).map((one) => one.id);
}

/** Sublayer ids of a list of candidates, each once, in order. */
export function expandSublayers(candidates: readonly string[], model: ModelSummary): string[] {
  return [...new Set(candidates.flatMap((one) => candidateSublayers(one, model)))];
}

/** Ids that the first `count` rounds remove. */
export const removedByRounds = (
  rounds: readonly Round[],
  count: number,
  model: ModelSummary,
): readonly string[] =>
  expandSublayers(
    rounds.slice(0, count).map((round) => round.removed),
    model,
  );

/**
 * The place of each removed sublayer in the order of removal, from 1; what one round removes, as a whole block, has one
 * place.
 */
export function removalOrder({
  removed,
  profile,
  model,
}: Pick<HeatmapState, 'removed' | 'profile' | 'model'>): ReadonlyMap<string, number> {
  const rounds = new Map(
    (profile?.rounds ?? []).flatMap((round, index) =>
      candidateSublayers(round.removed, model).map((id) => [id, index] as const),
    ),
  );
  const places = new Map<number | string, number>();
  return new Map(
    expandSublayers(removed, model).map((id) => {
      const together = rounds.get(id) ?? id;
      const place = places.get(together) ?? places.size + 1;
      places.set(together, place);
      return [id, place];
    }),
  );
}

export function sumSelection(
  removed: Iterable<string>,
  model: ModelSummary,
  widthPruned: HeatmapState['widthPruned'],
): SelectionTotals {
  const chosen = new Set(removed);
  const whole = model.sublayers.filter((one) => chosen.has(one.id));
  const within = listUnits(model).filter(
    ({ id, block, expert }) =>
      expert !== undefined && chosen.has(id) && !chosen.has(`block.${block}.expert`),
  );
  const pruned = model.sublayers.flatMap((one) => {
    const left = chosen.has(one.id) ? undefined : widthPruned[one.id];
    return left === undefined ? [] : [subtractSizes(one, left)];
  });
  const removedParts = [...whole, ...within, ...pruned];
  const sum = (items: readonly Sizes[], field: keyof Sizes) =>
    items.reduce((total, one) => total + one[field], 0);
  const parameters = sum(removedParts, 'parameters');
  const bytes = sum(removedParts, 'bytes');
  const kvBytesPerToken = sum(removedParts, 'kvBytesPerToken');
  const context = memoryContext(model);
  const memory = bytes + context * kvBytesPerToken;
  return {
    sublayers: whole.length,
    experts: within.length,
    widthPruned: pruned.length,
    ...{ parameters, bytes, kvBytesPerToken, memory },
    shares: {
      sublayers: share(whole.length, model.sublayers.length),
      parameters: share(parameters, model.parameters),
      bytes: share(bytes, model.bytes),
      kvBytesPerToken: share(kvBytesPerToken, sum(model.sublayers, 'kvBytesPerToken')),
      memory: share(memory, model.bytes + context * sum(model.sublayers, 'kvBytesPerToken')),
    },
  };
}

type Sizes = Pick<ModelSummary['sublayers'][number], 'parameters' | 'bytes' | 'kvBytesPerToken'>;

const subtractSizes = (before: Sizes, after: Sizes): Sizes => ({
  parameters: before.parameters - after.parameters,
  bytes: before.bytes - after.bytes,
  kvBytesPerToken: before.kvBytesPerToken - after.kvBytesPerToken,
});

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
