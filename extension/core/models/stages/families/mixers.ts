import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { chain, pieceLinears, weightless } from '../piece';
import type { Piece } from '../piece';
import { activation, pixelMean, paddedWindow, channelsFirst, channelsLast } from '../piece-finder';
import type { PieceFinder } from '../piece-finder';
import { listAt, numberAt } from '../staged-config';
import type { StagedConfig } from '../staged-config';
import { depthsLayout, groupsByDepth, stageSteps } from '../staged-family';
import type { BlockBranch, StagedFamily } from '../staged-family';
import { say } from '../../../message';
import type { Message } from '../../../message';

const canEmpty = true;

/** Average pooling minus its input (PoolFormer). */
const pooling = (edge: number): Piece =>
  weightless(say`Mean of ${edge} × ${edge} pixels`, (graph, x) => {
    const half = Math.floor(edge / 2);
    const mean = graph.op('AveragePool', [x], {
      kernel_shape: [edge, edge],
      strides: [1, 1],
      pads: [half, half, half, half],
      count_include_pad: 0,
    });
    return graph.op('Sub', [mean, x]);
  });

const poolGroups = groupsByDepth((stage) => `encoder.block.${stage}.`);

/** arXiv 2111.11418 */
const poolFormer: StagedFamily = {
  modelType: 'poolformer',
  name: 'PoolFormer',
  config: depthsLayout(
    {
      depths: [2, 2, 6, 2],
      hidden_sizes: [64, 128, 320, 512],
      patch_sizes: [7, 3, 3, 3],
      strides: [4, 2, 2, 2],
      padding: [2, 1, 1, 1],
      pool_size: 3,
      mlp_ratio: 4,
      use_layer_scale: true,
    },
    poolGroups,
    { canEmpty },
  ),
  prefix: 'poolformer.',
  groups: poolGroups,
  canEmpty,
  steps: (config, find) => {
    const widths = listAt(config, 'hidden_sizes');
    const depths = listAt(config, 'depths');
    return stageSteps(
      widths.map((width, stage) => ({
        before: [
          find.conv(
            `encoder.patch_embeddings.${stage}.projection`,
            widths[stage - 1] ?? config.num_channels,
            width,
            {
              kernel: listAt(config, 'patch_sizes')[stage] ?? 1,
              stride: listAt(config, 'strides')[stage] ?? 1,
              padding: listAt(config, 'padding')[stage] ?? 0,
            },
          ),
        ],
        depth: depths[stage] ?? 0,
        block: (number: number): BlockBranch[] => {
          const own = find.at(`encoder.block.${stage}.${number}.`);
          const inner = Math.trunc(width * numberAt(config, 'mlp_ratio'));
          const scale = (of: 1 | 2): Piece | undefined =>
            config['use_layer_scale'] === false
              ? undefined
              : own.scale(`layer_scale_${of}`, width, 'first');
          return [
            {
              kind: 'convolution',
              branch: () =>
                chain(
                  say`Pooling`,
                  own.groupNorm('before_norm', width),
                  pooling(numberAt(config, 'pool_size')),
                  scale(1),
                ),
            },
            {
              kind: 'feedforward',
              branch: () =>
                chain(
                  say`MLP`,
                  own.groupNorm('after_norm', width),
                  own.conv('output.conv1', width, inner),
                  activation(config.hidden_act),
                  own.conv('output.conv2', inner, width),
                  scale(2),
                ),
            },
          ];
        },
      })),
    );
  },
  head: (config, find) => {
    const width = listAt(config, 'hidden_sizes').at(-1) ?? 0;
    return chain(
      say`Head`,
      find.groupNorm('norm', width),
      pixelMean,
      find.classifier('classifier', width),
    );
  },
  modules: {
    convolution: { before_norm: 'nn.Identity', pooling: 'NoFeedforward' },
    feedforward: { after_norm: 'nn.Identity', output: 'NoFeedforward' },
  },
};

/** Focal modulation (arXiv 2203.11926): multiplies a query by context from several window sizes. */
function modulation(config: StagedConfig, find: PieceFinder, stage: number, width: number): Piece {
  const levels = listAt(config, 'focal_levels')[stage] ?? 1;
  const first = listAt(config, 'focal_windows')[stage] ?? 1;
  const input = find.linear('projection_in', width, 2 * width + levels + 1);
  const layers = Array.from({ length: levels }, (_, level) =>
    find.conv(`focal_layers.${level}.0`, width, width, {
      kernel: 2 * level + first,
      groups: width,
      bias: false,
    }),
  );
  const context = find.conv('projection_context', width, width);
  const output = chain(
    say`Output`,
    channelsLast,
    config['use_post_layernorm_in_modulation'] === true
      ? find.layerNorm('layernorm', width, numberAt(config, 'layer_norm_eps'))
      : undefined,
    find.linear('projection_out', width, width),
  );
  const gelu = activation('gelu');
  return {
    label: say`Focal modulation, ${levels} levels`,
    tensors: [input, ...layers, context, output].flatMap(({ tensors }) => tensors),
    linears: pieceLinears([input, output]),
    outputs: output.outputs ?? [],
    emit: (graph: GraphBuilder, x: Value) => {
      const whole = channelsFirst.emit(graph, input.emit(graph, x));
      const part = (from: number, count: number): Value =>
        graph.op('Slice', [whole, graph.ints([from]), graph.ints([from + count]), graph.ints([1])]);
      const gated = (value: Value, level: number): Value =>
        graph.op('Mul', [value, part(2 * width + level, 1)]);
      let seen = part(width, width);
      const parts = layers.map((layer, level) => {
        seen = gelu.emit(graph, layer.emit(graph, seen));
        return gated(seen, level);
      });
      const mean = graph.op('ReduceMean', [seen], { axes: [2, 3], keepdims: 1 });
      parts.push(gated(gelu.emit(graph, mean), levels));
      const sum = parts.reduce((all, one) => graph.op('Add', [all, one]));
      const shared =
        config['normalize_modulator'] === true
          ? graph.op('Div', [sum, graph.scalar(levels + 1)])
          : sum;
      return output.emit(graph, graph.op('Mul', [part(0, width), context.emit(graph, shared)]));
    },
  };
}

const focalGroups = groupsByDepth((stage) => `encoder.stages.${stage}.layers.`);

/** arXiv 2203.11926 */
const focalNet: StagedFamily = {
  modelType: 'focalnet',
  name: 'FocalNet',
  config: depthsLayout(
    {
      patch_size: 4,
      embed_dim: 96,
      depths: [2, 2, 6, 2],
      focal_levels: [2, 2, 2, 2],
      focal_windows: [3, 3, 3, 3],
      mlp_ratio: 4,
      layer_norm_eps: 1e-5,
    },
    focalGroups,
    { canEmpty },
  ),
  prefix: 'focalnet.',
  groups: focalGroups,
  canEmpty,
  steps: (config, find) => {
    const depths = listAt(config, 'depths');
    const epsilon = numberAt(config, 'layer_norm_eps');
    const first = numberAt(config, 'embed_dim');
    const overlaps = config['use_conv_embed'] === true;
    const isAfter = config['use_post_layernorm'] === true;
    const stages = depths.map((depth, stage) => {
      const width = first * 2 ** stage;
      const at = find.at(`encoder.stages.${stage}.`);
      return {
        depth,
        block: (number: number): BlockBranch[] => {
          const own = at.at(`layers.${number}.`);
          const inner = Math.trunc(width * numberAt(config, 'mlp_ratio'));
          const around = (label: Message, of: 1 | 2, piece: Piece): Piece => {
            const norm = own.layerNorm(`norm${of}`, width, epsilon);
            const scale =
              config['use_layerscale'] === true
                ? own.scale(`gamma_${of}`, width, 'last')
                : undefined;
            return isAfter ? chain(label, piece, norm, scale) : chain(label, norm, piece, scale);
          };
          return [
            {
              kind: 'convolution',
              branch: () =>
                around(say`Modulation`, 1, modulation(config, own.at('modulation.'), stage, width)),
            },
            {
              kind: 'feedforward',
              branch: () =>
                around(
                  say`MLP`,
                  2,
                  chain(
                    say`MLP`,
                    own.linear('mlp.fc1', width, inner),
                    activation(config.hidden_act),
                    own.linear('mlp.fc2', inner, width),
                  ),
                ),
            },
          ];
        },
        behind:
          stage === depths.length - 1
            ? []
            : [
                channelsFirst,
                at.conv(
                  'downsample.projection',
                  width,
                  2 * width,
                  overlaps ? { kernel: 3, stride: 2, padding: 1 } : paddedWindow(2),
                ),
                channelsLast,
                at.layerNorm('downsample.norm', 2 * width, epsilon),
              ],
      };
    });
    return [
      find.conv(
        'embeddings.patch_embeddings.projection',
        config.num_channels,
        first,
        // Zeros at the end up to a multiple of 4, and two more.
        overlaps
          ? { kernel: 7, stride: 4, padding: [2, 4] }
          : paddedWindow(numberAt(config, 'patch_size')),
      ),
      channelsLast,
      find.layerNorm('embeddings.norm', first, epsilon),
      ...stageSteps(stages),
      find.layerNorm('layernorm', first * 2 ** (depths.length - 1), epsilon),
      channelsFirst,
      pixelMean,
    ];
  },
  head: (config, find) =>
    find.classifier(
      'classifier',
      numberAt(config, 'embed_dim') * 2 ** (listAt(config, 'depths').length - 1),
    ),
  modules: {
    convolution: { norm1: 'nn.Identity', modulation: 'NoFeedforward' },
    feedforward: { norm2: 'nn.Identity', mlp: 'NoFeedforward' },
  },
};

export const mixers: readonly StagedFamily[] = [poolFormer, focalNet];
