import type { ConfigFields } from '../../transformer/model-config';
import { withShortcut, chain, weightless } from '../piece';
import type { Piece } from '../piece';
import { activation, maxPool, pixelMean, sigmoid, squeezed } from '../piece-finder';
import type { Convolution, PieceFinder } from '../piece-finder';
import { listAt, multipleNear, numberAt } from '../staged-config';
import type { StagedConfig } from '../staged-config';
import { depthsLayout, groupsByDepth, stageSteps } from '../staged-family';
import type { StagedFamily, StagedStep } from '../staged-family';
import { say } from '../../../message';

/** Widths and stride of a block. */
interface BlockSizes {
  readonly input: number;
  readonly out: number;
  readonly stride: number;
}

/** Differences between the families. */
interface Form {
  readonly modelType: string;
  readonly name: string;
  readonly defaults: ConfigFields;
  readonly only: (config: ConfigFields) => ConfigFields;
  readonly stem: (config: StagedConfig, find: PieceFinder) => readonly Piece[];
  readonly width?: (config: ConfigFields, width: number) => number;
  readonly downsamplesFirst: (config: ConfigFields) => boolean;
  /** True if the first block of every stage has a projection shortcut, even when sizes don't change. */
  readonly alwaysShortcut?: boolean;
  /** Step before branch and shortcut of the first block of a stage. */
  readonly before?: (
    config: StagedConfig,
    find: PieceFinder,
    sizes: BlockSizes,
  ) => Piece | undefined;
  readonly branch: (config: StagedConfig, find: PieceFinder, sizes: BlockSizes) => Piece;
  readonly shortcut: (config: StagedConfig, find: PieceFinder, sizes: BlockSizes) => Piece;
  /** Activation after the sum. It must be idempotent, so that removing whole blocks doesn't change its input. */
  readonly activation: (config: StagedConfig) => Piece | undefined;
  readonly end?: (config: StagedConfig, find: PieceFinder, width: number) => Piece | undefined;
}

const stageSizes = (
  { width = (_, own) => own, downsamplesFirst }: Form,
  config: ConfigFields,
): readonly BlockSizes[] => {
  const widths = listAt(config, 'hidden_sizes').map((own) => width(config, own));
  return widths.map((out, stage) => ({
    input: widths[stage - 1] ?? numberAt(config, 'embedding_size'),
    out,
    stride: stage > 0 || downsamplesFirst(config) ? 2 : 1,
  }));
};

/** Convolutional residual networks (arXiv 1512.03385). The first block of a stage changes the size of the stream. */
function resNet(form: Form): StagedFamily {
  const { modelType, name, defaults, only } = form;
  const changesSize = (config: ConfigFields, stage: number): boolean => {
    const { input = 0, out = 0, stride = 1 } = stageSizes(form, config)[stage] ?? {};
    return form.alwaysShortcut === true || input !== out || stride !== 1;
  };
  const groups = groupsByDepth(
    (stage) => `encoder.stages.${stage}.layers.`,
    (config, stage) => (changesSize(config, stage) ? 1 : 0),
  );
  const first = (config: StagedConfig, find: PieceFinder, sizes: BlockSizes): Piece => {
    const before = form.before?.(config, find, sizes);
    const branch = form.branch(config, find, sizes);
    const sum = withShortcut(
      say`Block that changes the size`,
      form.shortcut(config, find, sizes),
      branch,
    );
    return chain(say`Block that changes the size`, before, sum, form.activation(config));
  };
  return {
    modelType,
    name,
    config: { ...depthsLayout(defaults, groups), only },
    prefix: `${modelType}.`,
    groups,
    steps: (config, find) => {
      const depths = listAt(config, 'depths');
      const stages = stageSizes(form, config).map((sizes, stage) => {
        const at = (number: number): PieceFinder =>
          find.at(`encoder.stages.${stage}.layers.${number}.`);
        const isFixed = changesSize(config, stage);
        const own = { input: sizes.out, out: sizes.out, stride: 1 };
        return {
          before: isFixed ? [first(config, at(0), sizes)] : [],
          first: isFixed ? 1 : 0,
          depth: depths[stage] ?? 0,
          block: (number: number) => {
            const branch = (): Piece =>
              chain(
                say`Convolution`,
                form.before?.(config, at(number), own),
                form.branch(config, at(number), own),
              );
            const behind = form.activation(config);
            return [
              { kind: 'convolution' as const, branch },
              ...(behind === undefined ? [] : [behind]),
            ];
          },
        };
      });
      const width = stageSizes(form, config).at(-1)?.out ?? 0;
      const end = form.end?.(config, find, width);
      return [
        ...form.stem(config, find),
        ...stageSteps(stages),
        ...(end === undefined ? [] : [end]),
        pixelMean,
      ] satisfies StagedStep[];
    },
    head: (config, find) =>
      find.classifier('classifier.1', stageSizes(form, config).at(-1)?.out ?? 0),
    modules: { convolution: { '': 'SameStates' } },
  };
}

/** Convolution and norm, and mostly an activation. */
function normed(
  find: PieceFinder,
  name: string,
  [input, out]: readonly [number, number],
  form: Convolution,
  act?: string,
): Piece {
  const at = find.at(`${name}.`);
  return chain(
    say`Convolution and norm`,
    at.conv('convolution', input, out, { ...form, bias: false }),
    at.batchNorm('normalization', out),
    act === undefined ? undefined : activation(act),
  );
}

const shortcut: Form['shortcut'] = (_, find, { input, out, stride }) =>
  normed(find, 'shortcut', [input, out], { stride });

const embedder = (config: StagedConfig, find: PieceFinder, kernel: number): Piece =>
  normed(
    find,
    'embedder.embedder',
    [config.num_channels, numberAt(config, 'embedding_size')],
    { kernel, stride: 2 },
    config.hidden_act,
  );

const relu = { hidden_act: 'relu' };
const sums: Form['activation'] = ({ hidden_act: act }) => activation(act);

const bottleneckSizes = {
  embedding_size: 64,
  hidden_sizes: [256, 512, 1024, 2048],
  depths: [3, 4, 6, 3],
};

const resnet: Form = {
  modelType: 'resnet',
  name: 'ResNet',
  defaults: {
    ...bottleneckSizes,
    layer_type: 'bottleneck',
    downsample_in_first_stage: false,
    downsample_in_bottleneck: false,
    ...relu,
  },
  only: () => relu,
  stem: (config, find) => [embedder(config, find, 7), maxPool(3, 2, 1)],
  downsamplesFirst: (config) => config['downsample_in_first_stage'] === true,
  branch: (config, find, { input, out, stride }) => {
    const { hidden_act: act } = config;
    if (config['layer_type'] !== 'bottleneck') {
      return chain(
        say`Convolutions`,
        normed(find, 'layer.0', [input, out], { kernel: 3, stride }, act),
        normed(find, 'layer.1', [out, out], { kernel: 3 }),
      );
    }
    const inner = Math.floor(out / 4);
    const isEarly = config['downsample_in_bottleneck'] === true;
    return chain(
      say`Convolutions`,
      normed(find, 'layer.0', [input, inner], { stride: isEarly ? stride : 1 }, act),
      normed(find, 'layer.1', [inner, inner], { kernel: 3, stride: isEarly ? 1 : stride }, act),
      normed(find, 'layer.2', [inner, out], {}),
    );
  },
  shortcut,
  activation: sums,
};

/** arXiv 2003.13678 */
const regnet: Form = {
  modelType: 'regnet',
  name: 'RegNet',
  defaults: {
    embedding_size: 32,
    hidden_sizes: [128, 192, 512, 1088],
    depths: [2, 6, 12, 2],
    groups_width: 64,
    layer_type: 'y',
    downsample_in_first_stage: true,
    ...relu,
  },
  only: () => relu,
  stem: (config, find) => [embedder(config, find, 3)],
  downsamplesFirst: (config) => config['downsample_in_first_stage'] === true,
  branch: (config, find, { input, out, stride }) => {
    const { hidden_act: act } = config;
    const groups = Math.max(1, Math.floor(out / numberAt(config, 'groups_width')));
    const hasGate = config['layer_type'] === 'y';
    const narrow = find.rows('layer.2.attention.0');
    const gate = (): Piece =>
      squeezed(
        chain(
          say`Gate`,
          find.conv('layer.2.attention.0', out, narrow),
          activation('relu'),
          find.conv('layer.2.attention.2', narrow, out),
          sigmoid,
        ),
      );
    return chain(
      say`Convolutions`,
      normed(find, 'layer.0', [input, out], {}, act),
      normed(find, 'layer.1', [out, out], { kernel: 3, stride, groups }, act),
      hasGate ? gate() : undefined,
      normed(find, hasGate ? 'layer.3' : 'layer.2', [out, out], {}),
    );
  },
  shortcut,
  activation: sums,
};

/**
 * Zero padding that isn't next to the pooling: ONNX Runtime would merge it with the pooling's own padding, whose border
 * is −∞.
 */
const zerosAround = weightless(say`Zero padding`, (graph, x) =>
  graph.op('Max', [graph.op('Pad', [x, graph.ints([0, 0, 1, 1, 0, 0, 1, 1])])]),
);

/** Widths are multiples of it. */
const divisor = 8;

const isPreActivated = (config: ConfigFields): boolean => config['layer_type'] === 'preactivation';

/** BiT (arXiv 1912.11370) */
const bit: Form = {
  modelType: 'bit',
  name: 'Bit',
  defaults: {
    ...bottleneckSizes,
    layer_type: 'preactivation',
    global_padding: null,
    num_groups: 32,
    embedding_dynamic_padding: false,
    output_stride: 32,
    width_factor: 1,
    ...relu,
  },
  only: () => ({
    global_padding: null,
    embedding_dynamic_padding: false,
    output_stride: 32,
    ...relu,
  }),
  stem: (config, find) => {
    const width = numberAt(config, 'embedding_size');
    return [
      find.standardizedConv('embedder.convolution', config.num_channels, width, {
        kernel: 7,
        stride: 2,
      }),
      zerosAround,
      ...(isPreActivated(config) ? [] : [groupNorm(config, find, 'embedder.norm', width)]),
      maxPool(3, 2, 0),
    ];
  },
  width: (config, width) => multipleNear(width * numberAt(config, 'width_factor'), divisor),
  downsamplesFirst: () => false,
  alwaysShortcut: true,
  before: (config, find, { input }) =>
    isPreActivated(config) ? groupNorm(config, find, 'norm1', input) : undefined,
  branch: (config, find, { input, out, stride }) => {
    const inner = multipleNear(out / 4, divisor);
    const [first, second] = isPreActivated(config) ? ['norm2', 'norm3'] : ['norm1', 'norm2'];
    return chain(
      say`Convolutions`,
      find.standardizedConv('conv1', input, inner, {}),
      groupNorm(config, find, first, inner),
      find.standardizedConv('conv2', inner, inner, { kernel: 3, stride }),
      groupNorm(config, find, second, inner),
      find.standardizedConv('conv3', inner, out, {}),
      isPreActivated(config)
        ? undefined
        : find.groupNorm('norm3', out, numberAt(config, 'num_groups')),
    );
  },
  shortcut: (config, find, { input, out, stride }) =>
    chain(
      say`Shortcut`,
      find.standardizedConv('downsample.conv', input, out, { stride }),
      isPreActivated(config)
        ? undefined
        : find.groupNorm('downsample.norm', out, numberAt(config, 'num_groups')),
    ),
  activation: (config) => (isPreActivated(config) ? undefined : activation(config.hidden_act)),
  end: (config, find, width) =>
    isPreActivated(config) ? groupNorm(config, find, 'norm', width) : undefined,
};

function groupNorm(config: StagedConfig, find: PieceFinder, name: string, width: number): Piece {
  return chain(
    say`Group norm`,
    find.groupNorm(name, width, numberAt(config, 'num_groups')),
    activation(config.hidden_act),
  );
}

export const resNets: readonly StagedFamily[] = [resNet(resnet), resNet(regnet), resNet(bit)];
