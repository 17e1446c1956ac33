import type { ModelSummary } from './models/model-summary';
import { unitsMeant } from './models/units';
import { say } from './message';
import type { Message } from './message';

/**
 * Those of the removed (ids of sublayers and blocks) that free no parameters, as sublayers that stay use the same
 * weights.
 */
export function freeingNothing(
  model: Pick<ModelSummary, 'sublayers'>,
  removed: readonly string[],
): string[] {
  const sharing = model.sublayers.filter(({ shares }) => shares !== undefined);
  if (sharing.length === 0) {
    return [];
  }
  const gone = new Set(removed.flatMap((id) => unitsMeant(id, model)));
  const used = new Set(sharing.flatMap(({ id, shares = [] }) => (gone.has(id) ? [] : shares)));
  return sharing
    .filter(
      ({ id, parameters, shares = [] }) =>
        gone.has(id) && parameters === 0 && shares.every((name) => used.has(name)),
    )
    .map(({ id }) => id);
}

/** Ids that are named where there are more. */
const named = 3;

/** What is said of sublayers that free nothing; undefined of none. */
export function explainNothingFreed(ids: readonly string[]): Message | undefined {
  const names = [...ids.slice(0, named), ...(ids.length > named ? ['…'] : [])].join(', ');
  return ids.length === 0
    ? undefined
    : say`Removing ${names} frees no parameters: other sublayers use the same weights.`;
}
