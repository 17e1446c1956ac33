import type { LayeredModel } from '../../models/layered-model';
import type { SublayerKind } from '../../models/model-summary';
import type { Width } from '../../models/width-pruning/width';
import type { Compression } from '../compression-choice';

/** Change of the whole model that is timed: all sublayers of a kind removed, all widths pruned, or all layers compressed. */
export type RunChange =
  /** All sublayers of a kind are removed. */
  | { readonly change: 'without'; readonly kind: SublayerKind }
  /** Every sublayer whose width can be pruned has its minimum width. */
  | { readonly change: 'width-pruned'; readonly of: Width['of'] | 'experts' }
  /** Every layer is compressed as {@link timingRepresentative} selects. */
  | { readonly change: 'compressed'; readonly as: string };

/** Changed model to time against the original. */
export interface TimedVariant<Change> {
  readonly change: Change;
  /** Ids of removed sublayers. */
  readonly removed?: readonly string[];
  readonly open: () => Promise<LayeredModel>;
}

/** Key of compressions whose matmuls have the same speed for the same sizes. */
export const timingKey = ({ method, setting, then }: Compression): string =>
  [method, ...(setting === 0 ? ['0'] : []), ...(then === undefined ? [] : [then])].join(':');

/** Representative for timing among a layer's compressions with the same key. */
export function timingRepresentative<One extends Compression>(
  all: readonly One[],
  as: string,
): One | undefined {
  const alike = all.filter((one) => timingKey(one) === as);
  return alike[Math.floor(alike.length / 2)];
}
