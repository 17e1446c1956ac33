import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { ConfigFields } from '../../transformer/model-config';
import { emitWeight } from '../../parts/weight';
import { attention, chain, weightless } from '../piece';
import type { Piece } from '../piece';
import { activation, paddedWindow, channelsLast } from '../piece-finder';
import type { PieceFinder } from '../piece-finder';
import { listAt, numberAt, sidesAt } from '../staged-config';
import type { StagedConfig } from '../staged-config';
import { depthsLayout, groupsByDepth, newerAttention, stageSteps } from '../staged-family';
import type { BlockBranch, StagedFamily } from '../staged-family';
import { emitMasked, emitTable, emitWindowBias, windowed, mergedPixels } from '../windows';
import type { Windows } from '../windows';
import { say } from '../../../message';
import type { Message } from '../../../message';

/** Sizes of a block. */
interface Sizes {
  readonly stage: number;
  readonly width: number;
  readonly heads: number;
  readonly windows: Windows;
}

/** Differences between the families. */
interface Form {
  readonly modelType: string;
  readonly name: string;
  readonly prefix: string;
  readonly defaults?: ConfigFields;
  /** True for pre-norm; false for the post-norm of Swin v2 (arXiv 2111.09883). */
  readonly normsFirst: boolean;
  /** True if a norm follows the last stage. */
  readonly hasFinalNorm: boolean;
  /** Returns the largest window size, from the number of patches in an image and the feature map sizes of a stage. */
  readonly widestWindow: (
    patches: readonly number[],
    stage: number,
    sides: readonly number[],
  ) => number;
  readonly attention: (config: StagedConfig, find: PieceFinder, sizes: Sizes) => Piece;
  readonly merge: (find: PieceFinder, width: number) => readonly Piece[];
  readonly modules: StagedFamily['modules'];
  readonly linears?: StagedFamily['linears'];
}

const epsilon = 1e-5;
const averagePositions = weightless(say`Mean of positions`, (graph, x) =>
  graph.op('ReduceMean', [x], { axes: [1, 2], keepdims: 0 }),
);

const groups = groupsByDepth((stage) => `encoder.layers.${stage}.blocks.`);
const canEmpty = true;
/** Every second block has shifted windows. */
const period = 2;

function swin(form: Form): StagedFamily {
  const { modelType, name, prefix, defaults = {}, normsFirst, modules, linears = {} } = form;
  const given = {
    image_size: 224,
    patch_size: 4,
    embed_dim: 96,
    depths: [2, 2, 6, 2],
    num_heads: [3, 6, 12, 24],
    window_size: 7,
    mlp_ratio: 4,
    qkv_bias: true,
    use_absolute_embeddings: false,
    layer_norm_eps: epsilon,
    ...defaults,
  };
  return {
    modelType,
    name,
    config: {
      ...depthsLayout(given, groups, { canEmpty, period }),
      only: () => ({ use_absolute_embeddings: false }),
    },
    prefix,
    groups,
    fixesImage: true,
    canEmpty,
    period,
    steps: (config, find) => {
      const depths = listAt(config, 'depths');
      const patch = sidesAt(config, 'patch_size');
      const first = numberAt(config, 'embed_dim');
      const image = sidesAt(config, 'image_size');
      const patches = image.map((side, axis) => side / (patch[axis] ?? 1));
      let [height = 1, width = 1] = patches.map(Math.ceil);
      const [edge = 1] = patch;
      const stages = depths.map((depth, stage) => {
        const channels = first * 2 ** stage;
        const at = find.at(`encoder.layers.${stage}.`);
        const [tall, wide] = [height, width];
        const widest = Math.max(1, form.widestWindow(patches, stage, [tall, wide]));
        const size = Math.min(numberAt(config, 'window_size'), widest);
        const isWhole = size === widest;
        const isLast = stage === depths.length - 1;
        [height, width] = isLast ? [tall, wide] : [Math.ceil(tall / 2), Math.ceil(wide / 2)];
        return {
          depth,
          block: (number: number): BlockBranch[] => {
            const own = at.at(`blocks.${number}.`);
            const shift = isWhole || number % 2 === 0 ? 0 : Math.floor(size / 2);
            const windows = { height: tall, width: wide, size, shift, channels };
            const heads = listAt(config, 'num_heads')[stage] ?? 1;
            const sizes = { stage, width: channels, heads, windows };
            return branches(form, config, own, sizes);
          },
          behind: isLast
            ? []
            : [mergedPixels(tall, wide), ...form.merge(at.at('downsample.'), channels)],
        };
      });
      const last = first * 2 ** (depths.length - 1);
      return [
        find.conv(
          'embeddings.patch_embeddings.projection',
          config.num_channels,
          first,
          paddedWindow(edge),
        ),
        channelsLast,
        find.layerNorm('embeddings.norm', first, epsilon),
        ...stageSteps(stages),
        ...(form.hasFinalNorm
          ? [find.layerNorm('layernorm', last, numberAt(config, 'layer_norm_eps'))]
          : []),
        averagePositions,
      ];
    },
    head: (config, find) =>
      find.classifier(
        'classifier',
        numberAt(config, 'embed_dim') * 2 ** (listAt(config, 'depths').length - 1),
      ),
    modules,
    linears,
  };

  function branches(
    { attention: within }: Form,
    config: StagedConfig,
    find: PieceFinder,
    sizes: Sizes,
  ): BlockBranch[] {
    const { width } = sizes;
    const norm = (place: string): Piece =>
      find.layerNorm(`layernorm_${place}`, width, numberAt(config, 'layer_norm_eps'));
    const inner = Math.trunc(numberAt(config, 'mlp_ratio') * width);
    const around = (label: Message, place: string, piece: Piece): Piece =>
      normsFirst ? chain(label, norm(place), piece) : chain(label, piece, norm(place));
    return [
      {
        kind: 'attention',
        branch: () =>
          around(say`Attention`, 'before', windowed(sizes.windows, within(config, find, sizes))),
      },
      {
        kind: 'feedforward',
        branch: () =>
          around(
            say`MLP`,
            'after',
            chain(
              say`MLP`,
              find.linear('intermediate.dense', width, inner),
              activation(config.hidden_act),
              find.linear('output.dense', inner, width),
            ),
          ),
      },
    ];
  }
}

const hasBias = (config: StagedConfig): boolean => config['qkv_bias'] !== false;

/** Attention with a relative position bias table. */
const byTable: Form['attention'] = (config, find, { width, heads, windows }) => {
  const { size } = windows;
  const own = find.at('attention.self.');
  const table = own.take('relative_position_bias_table', [(2 * size - 1) ** 2, heads]);
  return attention({
    heads,
    width,
    query: own.linear('query', width, width, hasBias(config)),
    key: own.linear('key', width, width, hasBias(config)),
    value: own.linear('value', width, width, hasBias(config)),
    output: find.linear('attention.output.dense', width, width),
    scores: {
      tensors: [table],
      emit: (graph, scores) =>
        emitMasked(
          graph,
          windows,
          heads,
          1,
          graph.op('Add', [scores, emitTable(graph, table, size)]),
        ),
    },
  });
};

const unit = weightless(say`Unit length`, (graph, x) => {
  const length = graph.op('ReduceL2', [x], { axes: [-1], keepdims: 1 });
  return graph.op('Div', [x, graph.op('Max', [length, graph.scalar(1e-12)])]);
});

/** Distances of a window as Swin V2 feeds them to its network: [rows · columns, 2]. */
function distances(size: number, trained: number): number[] {
  const scale = trained > 0 ? trained - 1 : Math.max(1, size - 1);
  const along = Array.from({ length: 2 * size - 1 }, (_, i) => {
    const distance = (8 * (i - size + 1)) / scale;
    return (Math.sign(distance) * Math.log2(Math.abs(distance) + 1)) / Math.log2(8);
  });
  return along.flatMap((row) => along.flatMap((column) => [row, column]));
}

/** Cosine attention with a relative position bias computed by a small network. */
const byCosine: Form['attention'] = (config, find, { stage, width, heads, windows }) => {
  const { size } = windows;
  const own = find.at('attention.self.');
  const inner = own.rows('continuous_position_bias_mlp.0');
  const network = chain(
    say`Bias by distance`,
    own.linear('continuous_position_bias_mlp.0', 2, inner),
    activation('relu'),
    own.linear('continuous_position_bias_mlp.2', inner, heads, false),
  );
  const scale = own.take('logit_scale', [heads, 1, 1]);
  const trained = listAt(config, 'pretrained_window_sizes')[stage] ?? 0;
  return attention({
    heads,
    width,
    query: own.linear('query', width, width, hasBias(config)),
    key: own.linear('key', width, width, false),
    value: own.linear('value', width, width, hasBias(config)),
    output: find.linear('attention.output.dense', width, width),
    turn: unit,
    scores: {
      tensors: [...network.tensors, scale],
      emit: (graph: GraphBuilder, scores: Value) => {
        const most = graph.op('Min', [emitWeight(graph, scale), graph.scalar(Math.log(100))]);
        const scaled = graph.op('Mul', [scores, graph.op('Exp', [most])]);
        const table = graph.floats(distances(size, trained), [(2 * size - 1) ** 2, 2]);
        const bias = emitWindowBias(graph, network.emit(graph, table), size);
        const gained = graph.op('Mul', [graph.op('Sigmoid', [bias]), graph.scalar(16)]);
        // transformers adds the mask twice.
        return emitMasked(graph, windows, heads, 2, graph.op('Add', [scaled, gained]));
      },
    },
  });
};

const smallestSide: Form['widestWindow'] = (_, __, sides) => Math.min(...sides);

const merge: Form['merge'] = (find, width) => [
  find.layerNorm('norm', 4 * width, epsilon),
  find.linear('reduction', 4 * width, 2 * width, false),
];

/** Module paths of blocks with an MLP in two modules. */
const twoModules: StagedFamily['modules'] = {
  attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
  feedforward: {
    layernorm_after: 'nn.Identity',
    intermediate: 'nn.Identity',
    output: 'NoFeedforward',
  },
};

export const swins: readonly StagedFamily[] = [
  swin({
    modelType: 'swin',
    name: 'Swin',
    prefix: 'swin.',
    normsFirst: true,
    hasFinalNorm: true,
    widestWindow: smallestSide,
    attention: byTable,
    merge,
    modules: {
      attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
      feedforward: { layernorm_after: 'nn.Identity', mlp: 'NoFeedforward' },
    },
    linears: {
      ...newerAttention,
      'intermediate.dense': 'mlp.fc1',
      'output.dense': 'mlp.fc2',
    },
  }),
  // arXiv 2111.15664
  swin({
    modelType: 'donut-swin',
    name: 'DonutSwin',
    prefix: 'donut.',
    normsFirst: true,
    hasFinalNorm: false,
    widestWindow: smallestSide,
    attention: byTable,
    merge,
    modules: twoModules,
  }),
  swin({
    modelType: 'swinv2',
    name: 'Swinv2',
    prefix: 'swinv2.',
    defaults: { pretrained_window_sizes: [0, 0, 0, 0] },
    normsFirst: false,
    hasFinalNorm: true,
    // transformers uses the height before padding.
    widestWindow: ([tall = 1], stage) => Math.floor(Math.floor(tall) / 2 ** stage),
    attention: byCosine,
    merge: (find, width) => [
      find.linear('reduction', 4 * width, 2 * width, false),
      find.layerNorm('norm', 2 * width, epsilon),
    ],
    modules: twoModules,
  }),
];
