import type { ModelFolder } from '../../checkpoints/model-folder';
import type { Norm } from '../parts/norm';
import { layerTypeConfig, readRotary } from '../parts/rotary';
import type { Rotary } from '../parts/rotary';
import { findConnection } from '../parts/streams/hyper-connections';
import type { BlockArchitecture, PartKind } from '../transformer/architecture';
import { failIncomplete, blockParts, partWiring } from '../transformer/architecture';
import type { FoundEnds } from '../transformer/find-ends';
import { expertShape, findExperts, withCount } from '../transformer/find-experts';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import { withHeads } from './attention';
import type { AttentionShape } from './attention-heads';
import { findAnyAttention, findCrossAttention } from './find-attention';
import type { Surroundings } from './find-attention';
import { findMixer, Mixer } from './mixer';
import type { MixerShape } from './mixer';
import { findFeedforward, Mlp } from './mlp';
import type { FeedforwardShape } from './mlp';
import { SublayerList } from './sublayer-list';
import type { Sublayer } from './sublayer-list';

/** Model with all weights of its blocks. */
interface FoundModel {
  readonly config: ModelConfig;
  readonly folder: ModelFolder;
  readonly tensors: TensorFinder;
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  readonly mixer?: MixerShape | undefined;
  /** Returns the tensor prefix of a block. */
  readonly placeOf: (block: number) => string;
  /** Number of the first block; 0 if undefined. */
  readonly firstBlock?: number;
  /** Modules of a block that patches replace. */
  readonly patchModules: Readonly<Partial<Record<PartKind, string>>>;
  readonly surroundings?: Surroundings;
  readonly ends?: FoundEnds;
  /** Norms before the first sublayer. */
  readonly startNorms?: Norm[];
}

interface FoundBlocks {
  readonly list: SublayerList;
  /** Rotary embeddings by side value name; the name is empty for one that all blocks share. */
  readonly rotaries: ReadonlyMap<string, Rotary>;
  /** Number of sublayers before each block. */
  readonly starts: readonly number[];
}

/**
 * Finds the sublayers of every block.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutBlocks(architecture: BlockArchitecture, model: FoundModel): FoundBlocks {
  const { config, folder, tensors, attention, feedforward, mixer, placeOf, ends } = model;
  const { hiddenSize, latent } = attention;
  const { firstBlock = 0 } = model;
  const experts = expertShape(architecture, config, folder, feedforward);
  const biases = architecture.biases(config);
  const { widths = {} } = config.espalier ?? {};
  const rotaries = new Map<string, Rotary>();
  const starts: number[] = [];
  const list = new SublayerList(tensors, attention, config, model.startNorms);
  for (let block = firstBlock; block < firstBlock + config.num_hidden_layers; block++) {
    const prefix = placeOf(block);
    const layerType = config.layer_types?.[block] ?? 'full_attention';
    const own = { ...architecture, ...architecture.blockForm?.(config, block) };
    const turns = architecture.turns?.(config, block) ?? true;
    const keys = { shared: '', 'by-layer-type': layerType, none: undefined };
    const rotary = turns ? keys[architecture.rotary] : undefined;
    const shape = withHeads(
      { ...attention, ...architecture.heads?.(config, block) },
      widths[`block.${block}.attention`],
    );
    if (rotary !== undefined && !rotaries.has(rotary)) {
      const seen = architecture.rotary === 'shared' ? config : layerTypeConfig(config, layerType);
      const pairing = {
        interleaved: architecture.interleavedRotary ?? false,
        reversed: architecture.reversedRotary ?? false,
      };
      const rotaryDim = latent?.rotaryDim ?? shape.headDim;
      rotaries.set(rotary, readRotary(seen, rotaryDim, pairing, folder.config));
    }
    const find: Record<PartKind, () => Sublayer> = {
      attention: () => {
        const keysBlock = architecture.sharedKeysBlock?.(config, block);
        const slidingWindow = architecture.slidingWindow(config, block);
        const { surroundings } = model;
        const at = { block, placeOf, keysBlock, slidingWindow, rotary, surroundings };
        return findAnyAttention(own, config, tensors, at, shape);
      },
      mixer: () => {
        const [names = failIncomplete('a mixer'), form = failIncomplete('a mixer')] = [
          own.mixer,
          mixer,
        ];
        return new Mixer(block, form, findMixer(names, form, tensors, prefix));
      },
      expert: () => {
        const count = config.espalier?.experts?.[block];
        const form = withCount(experts ?? failIncomplete('experts'), count);
        return findExperts(architecture, form, tensors, { block, prefix }, config);
      },
      feedforward: () => {
        const inner =
          widths[`block.${block}.feedforward`] ??
          architecture.innerSize?.(config, block) ??
          config.intermediate_size;
        const source = { config, block, prefix, inner, norm: feedforward.norm };
        const weights = findFeedforward(own.feedforward, biases, tensors, source, hiddenSize);
        return new Mlp(block, feedforward, weights);
      },
    };
    const { crossAttention } = own;
    list.keep([], ends?.before({ block, prefix }));
    starts.push(list.length);
    const parts = blockParts(architecture, config, block);
    for (const [i, place] of parts.entries()) {
      list.add({
        block,
        place,
        prefix,
        wiring: partWiring(own, place),
        module: model.patchModules[place],
        ends: ends?.behind({ block, prefix }, place, i === parts.length - 1) ?? [],
        find: () =>
          find[place]().withConnection(
            findConnection(architecture, place, config, tensors, prefix),
          ),
      });
      if (place === 'attention' && crossAttention !== undefined) {
        list.add({
          ...{ block, place, prefix, kind: 'cross-attention', wiring: crossAttention.wiring },
          find: () => findCrossAttention(crossAttention, biases, tensors, { block, prefix }, shape),
        });
      }
    }
  }
  list.keep([], ends?.last);
  return { list, rotaries, starts };
}
