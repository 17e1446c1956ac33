import type { ModelSummary } from './models/model-summary';
import { unitsMeant } from './models/units';
import { say } from './message';
import type { Message } from './message';

/**
 * Removed sublayers and blocks (ids) that free no parameters, because remaining sublayers share their weights.
 */
export function freeingNothing(
  model: Pick<ModelSummary, 'sublayers'>,
  removed: readonly string[],
): string[] {
  const sharing = model.sublayers.filter(({ shares }) => shares !== undefined);
  if (sharing.length === 0) {
    return [];
  }
  const removedUnits = new Set(removed.flatMap((id) => unitsMeant(id, model)));
  const used = new Set(
    sharing.flatMap(({ id, shares = [] }) => (removedUnits.has(id) ? [] : shares)),
  );
  return sharing
    .filter(
      ({ id, parameters, shares = [] }) =>
        removedUnits.has(id) && parameters === 0 && shares.every((name) => used.has(name)),
    )
    .map(({ id }) => id);
}

/** Ids that are named where there are more. */
const named = 3;

/** Warning about removed sublayers that free no parameters; undefined if there are none. */
export function explainNothingFreed(ids: readonly string[]): Message | undefined {
  const names = [...ids.slice(0, named), ...(ids.length > named ? ['…'] : [])].join(', ');
  return ids.length === 0
    ? undefined
    : say`Removing ${names} frees no parameters: other sublayers use the same weights.`;
}
