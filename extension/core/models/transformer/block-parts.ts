import type { BlockArchitecture, PartKind } from './architecture';
import type { WiringNames } from '../modules/wiring-names';
import type { ModelConfig } from './model-config';

/** Parts of a block, in order. */
export function blockParts(
  family: BlockArchitecture,
  config: ModelConfig,
  block: number,
): readonly PartKind[] {
  const second = family.experts?.isSparse(config, block) === true ? 'expert' : 'feedforward';
  return family.parts?.(config, block) ?? ['attention', second];
}

/** Wiring of a part. */
export function partWiring(family: BlockArchitecture, part: PartKind): WiringNames {
  const { attention, mixer, feedforward, experts } = family;
  const { wiring } = { attention, mixer, feedforward, expert: experts }[part] ?? {};
  return wiring ?? feedforward.wiring;
}

/** Error for an incomplete architecture definition. */
export function failIncomplete(what: string): never {
  throw new Error(`a family names ${what} that it does not describe`);
}
