import type { Architecture, BlockArchitecture, PartKind } from './architecture';
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
  switch (part) {
    case 'attention':
      return family.attention.wiring;
    case 'mixer':
      return family.mixer?.wiring ?? {};
    case 'feedforward':
      return family.feedforward.wiring;
    case 'expert':
      return family.experts?.wiring ?? family.feedforward.wiring;
  }
}

/** Names of a block's attention. */
export function attentionNames(
  { attention }: BlockArchitecture,
  turns: boolean,
): Architecture['attention'] {
  const { queryKeyNorms, ...others } = attention;
  return queryKeyNorms?.onlyRotated === true && !turns ? others : attention;
}

/** Of families that are described wrongly here. */
export function lacking(what: string): never {
  throw new Error(`a family names ${what} that it does not describe`);
}
