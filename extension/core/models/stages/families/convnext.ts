import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { emitWeight } from '../../parts/weight';
import { chain } from '../piece';
import type { Piece } from '../piece';
import { activation, pixelMean, channelsFirst, channelsLast, window } from '../piece-finder';
import type { PieceFinder } from '../piece-finder';
import { listAt, numberAt } from '../staged-config';
import type { StagedConfig } from '../staged-config';
import { depthsLayout, groupsByDepth, stageSteps } from '../staged-family';
import type { StagedFamily, StageForm } from '../staged-family';
import { say } from '../../../message';

const groups = groupsByDepth((stage) => `encoder.stages.${stage}.layers.`);

/** Differences between the two versions. */
interface Form {
  readonly modelType: string;
  readonly name: string;
  /** Layer between the linear layers of a block. */
  readonly between: (find: PieceFinder, width: number) => Piece | undefined;
  readonly scale: (config: StagedConfig, find: PieceFinder, width: number) => Piece | undefined;
}

/** ConvNeXt (arXiv 2201.03545) and its second version (arXiv 2301.00808). */
function convNext({ modelType, name, between, scale }: Form): StagedFamily {
  const defaults = {
    patch_size: 4,
    hidden_sizes: [96, 192, 384, 768],
    depths: [3, 3, 9, 3],
    layer_norm_eps: 1e-12,
    layer_scale_init_value: 1e-6,
  };
  const branch = (config: StagedConfig, find: PieceFinder, width: number): Piece =>
    chain(
      say`Convolution`,
      find.conv('dwconv', width, width, { kernel: 7, groups: width }),
      channelsLast,
      find.layerNorm('layernorm', width, 1e-6),
      find.linear('pwconv1', width, 4 * width),
      activation(config.hidden_act),
      between(find, 4 * width),
      find.linear('pwconv2', 4 * width, width),
      scale(config, find, width),
      channelsFirst,
    );
  return {
    modelType,
    name,
    config: depthsLayout(defaults, groups, { canEmpty: true }),
    canEmpty: true,
    prefix: `${modelType}.`,
    groups,
    steps: (config, find) => {
      const widths = listAt(config, 'hidden_sizes');
      const depths = listAt(config, 'depths');
      const patch = numberAt(config, 'patch_size');
      const [first = 0] = widths;
      const stages = widths.map((width, stage): StageForm => {
        const at = find.at(`encoder.stages.${stage}.`);
        const before = widths[stage - 1];
        return {
          before:
            before === undefined
              ? []
              : [
                  at.layerNorm('downsampling_layer.0', before, 1e-6, 'first'),
                  at.conv('downsampling_layer.1', before, width, window(2)),
                ],
          depth: depths[stage] ?? 0,
          block: (number) => {
            const own = at.at(`layers.${number}.`);
            return [{ kind: 'convolution', branch: () => branch(config, own, width) }];
          },
        };
      });
      return [
        find.conv('embeddings.patch_embeddings', config.num_channels, first, window(patch)),
        find.layerNorm('embeddings.layernorm', first, 1e-6, 'first'),
        ...stageSteps(stages),
        pixelMean,
        find.layerNorm('layernorm', widths.at(-1) ?? 0, numberAt(config, 'layer_norm_eps')),
      ];
    },
    head: (config, find) =>
      find.classifier('classifier', listAt(config, 'hidden_sizes').at(-1) ?? 0),
    modules: { convolution: { '': 'SameStates' } },
  };
}

/** Global response normalization of [batch, height, width, channels]. */
function responseNorm(find: PieceFinder, width: number): Piece {
  const [weight, bias] = [
    find.take('grn.weight', [1, 1, 1, width]),
    find.take('grn.bias', [1, 1, 1, width]),
  ];
  return {
    label: say`Global response norm`,
    tensors: [weight, bias],
    emit: (graph: GraphBuilder, x: Value): Value => {
      const lengths = graph.op('ReduceL2', [x], { axes: [1, 2], keepdims: 1 });
      const mean = graph.op('ReduceMean', [lengths], { axes: [-1], keepdims: 1 });
      const ratio = graph.op('Div', [lengths, graph.op('Add', [mean, graph.scalar(1e-6)])]);
      const normed = graph.op('Mul', [emitWeight(graph, weight), graph.op('Mul', [x, ratio])]);
      return graph.op('Add', [graph.op('Add', [normed, emitWeight(graph, bias)]), x]);
    },
  };
}

export const convNexts: readonly StagedFamily[] = [
  convNext({
    modelType: 'convnext',
    name: 'ConvNext',
    between: () => undefined,
    scale: (config, find, width) =>
      numberAt(config, 'layer_scale_init_value') > 0
        ? find.scale('layer_scale_parameter', width, 'last')
        : undefined,
  }),
  convNext({
    modelType: 'convnextv2',
    name: 'ConvNextV2',
    between: (find, width) => responseNorm(find, width),
    scale: () => undefined,
  }),
];
