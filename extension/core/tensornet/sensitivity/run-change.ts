import type { LayeredModel } from '../../models/layered-model';
import type { SublayerKind } from '../../models/model-summary';
import type { Width } from '../../models/narrow/width';
import type { Compression } from '../compression-choice';

/** What all of a model that can be changed so is changed to. */
export type RunChange =
  /** All sublayers of a kind are gone. */
  | { readonly change: 'without'; readonly kind: SublayerKind }
  /** Every sublayer that can be narrowed has its least width. */
  | { readonly change: 'narrowed'; readonly of: Width['of'] | 'experts' }
  /** Every layer that can be is compressed as {@link timedOne} says. */
  | { readonly change: 'compressed'; readonly as: string };

/** A model to time beside the original, by what has changed of it. */
export interface TimedVariant<Change> {
  readonly change: Change;
  /** Ids of sublayers that it lacks. */
  readonly removed?: readonly string[];
  readonly open: () => Promise<LayeredModel>;
}

/** Compressions whose products run alike, but for their sizes. */
export const timedAs = ({ method, level, then }: Compression): string =>
  [method, ...(level === 0 ? ['0'] : []), ...(then === undefined ? [] : [then])].join(':');

/** Of a layer's compressions that run alike, the one by which they are timed. */
export function timedOne<One extends Compression>(
  all: readonly One[],
  as: string,
): One | undefined {
  const alike = all.filter((one) => timedAs(one) === as);
  return alike[Math.floor(alike.length / 2)];
}
