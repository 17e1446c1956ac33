import type { Architecture, PartKind } from './architecture';
import { findAltUp, findLaurel, findMixing } from '../parts/streams/altup';
import type { AltUp } from '../parts/streams/altup';
import { findPerLayer } from '../parts/block-end';
import type { BlockEnd, PerLayer } from '../parts/block-end';
import type { ModelConfig } from './model-config';
import type { TensorFinder } from './tensor-finder';

/** A block and what the names of its tensors begin with. */
interface BlockPlace {
  readonly block: number;
  readonly prefix: string;
}

/** Operations between blocks. They remain if the blocks' sublayers are removed. */
export interface FoundEnds {
  readonly perLayer: PerLayer | undefined;
  readonly altUp: AltUp | undefined;
  /** Returns operations before a block's first sublayer. */
  readonly before: (place: BlockPlace) => readonly BlockEnd[];
  /** Returns operations after one of its sublayers. */
  readonly behind: (place: BlockPlace, kind: PartKind, isLast: boolean) => readonly BlockEnd[];
  /** After the last block. */
  readonly last: readonly BlockEnd[];
}

/**
 * Finds the weights at the start and end of blocks and of the model: AltUp, Laurel and per-layer embeddings (Gemma 3n, 4).
 * @param prefix of tensors outside the blocks
 */
export function findEnds(
  { altUp: names, laurel, end, embeddingAndHead, attention }: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): FoundEnds {
  const perLayer = findPerLayer(embeddingAndHead.perLayer, config, tensors, prefix);
  const { hidden_size: hidden, num_hidden_layers: blocks } = config;
  const found = names === undefined ? undefined : findAltUp(names, config, tensors, prefix);
  const mixing = (kind: 'predict' | 'correct', place: BlockPlace): Partial<BlockEnd> =>
    names === undefined || found === undefined
      ? {}
      : { [kind]: findMixing(names, found.altUp, kind, tensors, place.prefix, hidden) };
  const behindLast = (place: BlockPlace): BlockEnd => ({
    block: place.block,
    ...mixing('correct', place),
    ...(end === undefined ? {} : ownEnd(end, perLayer?.width, tensors, place.prefix, config)),
  });
  return {
    perLayer,
    altUp: found?.altUp,
    before: (place) =>
      found === undefined ? [] : [{ block: place.block, ...mixing('predict', place) }],
    behind: (place, kind, isLast) => [
      ...(laurel === undefined || kind !== 'attention'
        ? []
        : [
            {
              block: place.block,
              laurel: findLaurel(
                laurel,
                attention.wiring.norm ?? '',
                config,
                tensors,
                place.prefix,
              ),
            },
          ]),
      ...(isLast && (end !== undefined || found !== undefined) ? [behindLast(place)] : []),
    ],
    last: found === undefined ? [] : [{ block: blocks, merge: found.leave }],
  };
}

/** End of a block in a model with a single stream. */
function ownEnd(
  { perLayer, scale, factor }: NonNullable<Architecture['end']>,
  width: number | undefined,
  tensors: TensorFinder,
  prefix: string,
  config: ModelConfig,
): Partial<BlockEnd> {
  const { hidden_size: hidden } = config;
  const scaleName = scale?.(config);
  return {
    ...(factor === undefined ? {} : { factor: tensors.take(`${prefix}${factor}`, [1]) }),
    ...(scaleName === undefined ? {} : { scale: tensors.take(`${prefix}${scaleName}`, [hidden]) }),
    ...(perLayer === undefined || width === undefined
      ? {}
      : {
          perLayer: {
            gate: tensors.linear(`${prefix}${perLayer.gate}`, width, hidden, false),
            projection: tensors.linear(`${prefix}${perLayer.projection}`, hidden, width, false),
            norm: tensors.norm(`${prefix}${perLayer.norm}`, hidden),
          },
        }),
  };
}
