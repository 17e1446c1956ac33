import type { Architecture, BlockArchitecture, PartKind } from './architecture';
import type { WiringNames } from './block-end-names';
import type { ModelConfig } from './model-config';

/** What a block of a family consists of, in order. */
export function partsOf(
  family: BlockArchitecture,
  config: ModelConfig,
  block: number,
): readonly PartKind[] {
  const second = family.experts?.isSparse(config, block) === true ? 'expert' : 'feedforward';
  return family.parts?.(config, block) ?? ['attention', second];
}

/** The parts that read the block's input, beside the part in front of them. */
export function besideOf({ parallel, mixer }: Architecture): PartKind[] {
  return [
    ...(parallel === true ? (['feedforward', 'expert'] as const) : []),
    ...(mixer?.isBeside === true || mixer?.isAside === true ? (['mixer'] as const) : []),
  ];
}

/** Names of the norms of a part. */
export function branchOf(family: BlockArchitecture, part: PartKind): WiringNames {
  switch (part) {
    case 'attention':
      return family.attention;
    case 'mixer':
      return family.mixer ?? {};
    case 'feedforward':
    case 'expert':
      return family.feedforward;
  }
}

/** Names of a block's attention. */
export function attentionNames(
  { attention }: BlockArchitecture,
  turns: boolean,
): Architecture['attention'] {
  const { queryKeyNorms, ...others } = attention;
  return queryKeyNorms?.ofTurned === true && !turns ? others : attention;
}

/** Of families that are described wrongly here. */
export function lacking(what: string): never {
  throw new Error(`a family names ${what} that it does not describe`);
}
