import { emitLength } from '../../../onnx/emit-sequence';
import type { ConfigFields } from '../../transformer/model-config';
import { emitWeight } from '../../parts/weight';
import { attention, chain, weightless } from '../piece';
import type { Piece } from '../piece';
import { activation, pixelMean, channelsFirst, channelsLast } from '../piece-finder';
import type { PieceFinder } from '../piece-finder';
import { listAt, numberAt, sidesAt } from '../staged-config';
import type { StagedConfig } from '../staged-config';
import { depthsLayout, groupsByDepth, newerAttention, stageSteps } from '../staged-family';
import type { BlockBranch, StagedFamily } from '../staged-family';
import { say } from '../../../message';

/** Names of the tensors of a block. */
interface BlockNames {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly output: string;
  /** Convolution that downsamples the input of keys and values, and the norm after it. */
  readonly reduction: string;
  readonly reductionNorm: string;
}

const selfNames: BlockNames = {
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  output: 'attention.output.dense',
  reduction: 'attention.self.sequence_reduction',
  reductionNorm: 'attention.self.layer_norm',
};

/** Differences between the families. */
interface Form {
  readonly modelType: string;
  readonly name: string;
  readonly defaults: ConfigFields;
  readonly only?: ConfigFields;
  readonly fixesImage?: boolean;
  /** Config field with the downsampling factor of keys and values, by stage. */
  readonly reductions: string;
  readonly place: (stage: number) => string;
  readonly names: BlockNames;
  /** ε of the norms, if config.json doesn't have it. */
  readonly epsilon?: number;
  /** True if the MLP has a depthwise convolution. */
  readonly mixes: boolean;
  /** Patch embedding of a stage, from pixels or the previous stage: [batch, channels, height, width] → stream. */
  readonly embed: (config: StagedConfig, find: PieceFinder, sizes: StageSizes) => readonly Piece[];
  /** Steps after the blocks of a stage. */
  readonly leave: (config: StagedConfig, find: PieceFinder, sizes: StageSizes) => readonly Piece[];
  readonly end: (config: StagedConfig, find: PieceFinder) => readonly Piece[];
  readonly modulePlace?: StagedFamily['modulePlace'];
  readonly linears?: StagedFamily['linears'];
  readonly modules: StagedFamily['modules'];
}

interface StageSizes {
  readonly stage: number;
  readonly isLast: boolean;
  readonly input: number;
  readonly width: number;
}

const canEmpty = true;

/** Pyramid vision transformers (arXiv 2102.12122), whose keys and values come from a downsampled image. */
function pyramid(form: Form): StagedFamily {
  const { modelType, name, defaults, only, place, modules, modulePlace, linears = {} } = form;
  const groups = groupsByDepth(place);
  return {
    modelType,
    name,
    config: {
      ...depthsLayout({ layer_norm_eps: 1e-6, qkv_bias: true, ...defaults }, groups, { canEmpty }),
      ...(only === undefined ? {} : { only: () => only }),
    },
    prefix: `${modelType}.`,
    groups,
    fixesImage: form.fixesImage ?? false,
    canEmpty,
    steps: (config, find) => {
      const widths = listAt(config, 'hidden_sizes');
      const depths = listAt(config, 'depths');
      const stages = widths.map((width, stage) => {
        const input = widths[stage - 1] ?? config.num_channels;
        const sizes = { stage, isLast: stage === widths.length - 1, input, width };
        return {
          before: form.embed(config, find, sizes),
          depth: depths[stage] ?? 0,
          block: (number: number) =>
            branches(form, config, find.at(`${place(stage)}${number}.`), sizes),
          behind: form.leave(config, find, sizes),
        };
      });
      return [...stageSteps(stages), ...form.end(config, find)];
    },
    head: (config, find) =>
      find.classifier('classifier', listAt(config, 'hidden_sizes').at(-1) ?? 0),
    modules,
    linears,
    ...(modulePlace === undefined ? {} : { modulePlace }),
  };
}

const normEpsilon = ({ epsilon }: Pick<Form, 'epsilon'>, config: StagedConfig): number =>
  epsilon ?? numberAt(config, 'layer_norm_eps');

function branches(
  form: Form,
  config: StagedConfig,
  find: PieceFinder,
  { stage, width }: StageSizes,
): BlockBranch[] {
  const { names, mixes } = form;
  const epsilon = normEpsilon(form, config);
  const edge = listAt(config, form.reductions)[stage] ?? 1;
  const inner = Math.trunc(width * (listAt(config, 'mlp_ratios')[stage] ?? 4));
  const hasBias = config['qkv_bias'] !== false;
  const linear = (own: string, bias = true): Piece => find.linear(own, width, width, bias);
  const source = (): Piece =>
    chain(
      say`Fewer pixels`,
      channelsFirst,
      find.conv(names.reduction, width, width, { kernel: edge, stride: edge, padding: 0 }),
      channelsLast,
      find.layerNorm(names.reductionNorm, width, epsilon),
    );
  return [
    {
      kind: 'attention',
      branch: () =>
        chain(
          say`Attention`,
          find.layerNorm('layer_norm_1', width, epsilon),
          attention({
            heads: listAt(config, 'num_attention_heads')[stage] ?? 1,
            width,
            query: linear(names.query, hasBias),
            key: linear(names.key, hasBias),
            value: linear(names.value, hasBias),
            output: linear(names.output),
            source: edge > 1 ? source() : undefined,
          }),
        ),
    },
    {
      kind: 'feedforward',
      branch: () =>
        chain(
          say`MLP`,
          find.layerNorm('layer_norm_2', width, epsilon),
          find.linear('mlp.dense1', width, inner),
          ...(mixes
            ? [
                channelsFirst,
                find.conv('mlp.dwconv.dwconv', inner, inner, { kernel: 3, groups: inner }),
                channelsLast,
              ]
            : []),
          activation(config.hidden_act),
          find.linear('mlp.dense2', inner, width),
        ),
    },
  ];
}

/** A convolution over overlapping patches and a norm. */
const overlapping =
  (form: Pick<Form, 'epsilon'>, place: (stage: number) => string): Form['embed'] =>
  (config, find, { stage, input, width }) => {
    const at = find.at(place(stage));
    return [
      at.conv('proj', input, width, {
        kernel: listAt(config, 'patch_sizes')[stage] ?? 1,
        stride: listAt(config, 'strides')[stage] ?? 1,
      }),
      channelsLast,
      at.layerNorm('layer_norm', width, normEpsilon(form, config)),
    ];
  };

const sizes = {
  depths: [2, 2, 2, 2],
  strides: [4, 2, 2, 2],
  num_attention_heads: [1, 2, 5, 8],
};

/** Sizes of pyramids whose patches overlap. */
const overlappingSizes = {
  ...sizes,
  hidden_sizes: [32, 64, 160, 256],
  patch_sizes: [7, 3, 3, 3],
  sr_ratios: [8, 4, 2, 1],
};

const modules: StagedFamily['modules'] = {
  attention: { layer_norm_1: 'nn.Identity', attention: 'NoAttention' },
  feedforward: { layer_norm_2: 'nn.Identity', mlp: 'NoFeedforward' },
};

/** arXiv 2105.15203 */
const segformer: Form = {
  modelType: 'segformer',
  name: 'Segformer',
  defaults: {
    ...overlappingSizes,
    mlp_ratios: [4, 4, 4, 4],
  },
  // The norms in transformers ignore layer_norm_eps.
  epsilon: 1e-5,
  reductions: 'sr_ratios',
  place: (stage) => `encoder.block.${stage}.`,
  names: { ...selfNames, reduction: 'attention.self.sr' },
  mixes: true,
  embed: overlapping({ epsilon: 1e-5 }, (stage) => `encoder.patch_embeddings.${stage}.`),
  leave: (_, find, { stage, width }) => [
    find.layerNorm(`encoder.layer_norm.${stage}`, width, 1e-5),
    channelsFirst,
  ],
  end: () => [pixelMean],
  linears: { ...newerAttention, 'mlp.dense1': 'mlp.fc1', 'mlp.dense2': 'mlp.fc2' },
  modulePlace: (place) => place.replace(/encoder\.block\.(\d+)\.(\d+)\./, 'stages.$1.blocks.$2.'),
  modules: {
    attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
    feedforward: { layernorm_after: 'nn.Identity', mlp: 'NoFeedforward' },
  },
};

/** Height and width of the feature map in a stage. */
function gridSize(config: ConfigFields, stage: number): readonly number[] {
  const [patches, strides] = [listAt(config, 'patch_sizes'), listAt(config, 'strides')];
  return sidesAt(config, 'image_size').map((side) =>
    patches
      .slice(0, stage + 1)
      .reduce((size, step, i) => Math.floor((size - (strides[i] ?? 1)) / step) + 1, side),
  );
}

/** Patch embedding with learned positions, and a class token in the last stage. */
const positioned: Form['embed'] = (config, find, { stage, isLast, input, width }) => {
  const at = find.at(`encoder.patch_embeddings.${stage}.`);
  const count = gridSize(config, stage).reduce((all, side) => all * side, 1) + Number(isLast);
  const positions = at.take('position_embeddings', [1, count, width]);
  const token = isLast ? at.take('cls_token', [1, 1, width]) : undefined;
  return [
    at.conv('projection', input, width, {
      kernel: listAt(config, 'strides')[stage] ?? 1,
      stride: listAt(config, 'patch_sizes')[stage] ?? 1,
      padding: 0,
    }),
    channelsLast,
    at.layerNorm('layer_norm', width, numberAt(config, 'layer_norm_eps')),
    {
      label: say`Positions`,
      tensors: [positions, ...(token === undefined ? [] : [token])],
      emit: (graph, x) => {
        const flat = graph.op('Reshape', [x, graph.ints([0, -1, width])]);
        if (token === undefined) {
          return graph.op('Reshape', [
            graph.op('Add', [flat, emitWeight(graph, positions)]),
            graph.op('Shape', [x]),
          ]);
        }
        const batch = emitLength(graph, x, 0);
        const shape = graph.op('Concat', [batch, graph.ints([1, width])], { axis: 0 });
        const front = graph.op('Expand', [emitWeight(graph, token), shape]);
        const all = graph.op('Concat', [front, flat], { axis: 1 });
        return graph.op('Add', [all, emitWeight(graph, positions)]);
      },
    },
  ];
};

const pvt: Form = {
  modelType: 'pvt',
  name: 'Pvt',
  fixesImage: true,
  defaults: {
    ...sizes,
    image_size: 224,
    hidden_sizes: [64, 128, 320, 512],
    patch_sizes: [4, 2, 2, 2],
    sequence_reduction_ratios: [8, 4, 2, 1],
    mlp_ratios: [8, 8, 4, 4],
  },
  reductions: 'sequence_reduction_ratios',
  place: (stage) => `encoder.block.${stage}.`,
  names: selfNames,
  mixes: false,
  embed: positioned,
  leave: (_, __, { isLast }) => (isLast ? [] : [channelsFirst]),
  end: (config, find) => [
    find.layerNorm(
      'encoder.layer_norm',
      listAt(config, 'hidden_sizes').at(-1) ?? 0,
      numberAt(config, 'layer_norm_eps'),
    ),
    weightless(say`First position`, (graph, x) =>
      graph.op('Gather', [x, graph.ints([0], [])], { axis: 1 }),
    ),
  ],
  modules,
};

/** arXiv 2106.13797 */
const pvtV2: Form = {
  modelType: 'pvt_v2',
  name: 'PvtV2',
  defaults: {
    ...overlappingSizes,
    mlp_ratios: [8, 8, 4, 4],
    linear_attention: false,
  },
  only: { linear_attention: false },
  reductions: 'sr_ratios',
  place: (stage) => `encoder.layers.${stage}.blocks.`,
  names: {
    query: 'attention.query',
    key: 'attention.key',
    value: 'attention.value',
    output: 'attention.proj',
    reduction: 'attention.spatial_reduction',
    reductionNorm: 'attention.layer_norm',
  },
  mixes: true,
  embed: overlapping({}, (stage) => `encoder.layers.${stage}.patch_embedding.`),
  leave: (config, find, { stage, width }) => [
    find.layerNorm(`encoder.layers.${stage}.layer_norm`, width, numberAt(config, 'layer_norm_eps')),
    channelsFirst,
  ],
  end: () => [pixelMean],
  modules,
};

export const pyramids: readonly StagedFamily[] = [segformer, pvt, pvtV2].map(pyramid);
