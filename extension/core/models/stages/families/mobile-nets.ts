import type { ConfigFields } from '../../transformer/model-config';
import { chain } from '../piece';
import type { Piece } from '../piece';
import { activation, pixelMean, sigmoid, squeezed } from '../piece-finder';
import type { Convolution, PieceFinder } from '../piece-finder';
import { listAt, numberAt, readSize, multipleNear } from '../staged-config';
import type { StagedConfig } from '../staged-config';
import type { BlockGroup, StagedFamily, StagedStep } from '../staged-family';
import { say } from '../../../message';

/** Sizes of an inverted residual block. `isSum` is true for blocks that keep the size of the stream. */
interface Inverted {
  readonly input: number;
  readonly out: number;
  readonly stride: number;
  readonly kernel: number;
  readonly dilation: number;
  readonly isSum: boolean;
}

/** Differences between the families. */
interface Form {
  readonly modelType: string;
  readonly name: string;
  readonly defaults: ConfigFields;
  readonly only: ConfigFields;
  /** Prefix of block names, which are `<place><number>.`. */
  readonly place: string;
  readonly blocks: (config: ConfigFields) => readonly Inverted[];
  readonly stem: (config: StagedConfig, find: PieceFinder) => Piece;
  readonly branch: (config: StagedConfig, find: PieceFinder, block: Inverted, at: number) => Piece;
  readonly end: (config: StagedConfig, find: PieceFinder, width: number) => Piece;
}

/** Networks of inverted residuals (arXiv 1801.04381). config.json has no block count, so blocks keep their numbers. */
function inverted(form: Form): StagedFamily {
  const { modelType, name, defaults, only, place } = form;
  const groups = (config: ConfigFields): readonly BlockGroup[] =>
    form
      .blocks({ ...defaults, ...config })
      .flatMap(({ isSum }, number) => (isSum ? [{ place, first: number, count: 1 }] : []));
  const lastWidth = (config: ConfigFields): number => form.blocks(config).at(-1)?.out ?? 0;
  return {
    modelType,
    name,
    config: { isUnnumbered: true, defaults: () => defaults, only: () => only },
    prefix: `${modelType}.`,
    groups,
    steps: (config, find) => {
      let block = 0;
      const steps = form.blocks(config).map((sizes, number): StagedStep => {
        const branch = (): Piece =>
          form.branch(config, find.at(`${place}${number}.`), sizes, number);
        return sizes.isSum ? { kind: 'convolution', block: block++, branch } : branch();
      });
      return [
        form.stem(config, find),
        ...steps,
        form.end(config, find, lastWidth(config)),
        pixelMean,
      ];
    },
    head: (_, find) => find.classifier('classifier'),
    modules: { convolution: { '': 'SameStates' } },
  };
}

const narrowed = (config: ConfigFields, channels: number): number =>
  multipleNear(
    roundHalfEven(channels * numberAt(config, 'depth_multiplier')),
    numberAt(config, 'depth_divisible_by'),
    numberAt(config, 'min_depth'),
  );

/** Rounds half to even, as Python does. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

/** Convolution, norm and activation. */
function mobileLayer(
  config: StagedConfig,
  find: PieceFinder,
  sizes: readonly [input: number, out: number],
  form: Convolution,
  act: string | undefined = config.hidden_act,
): Piece {
  const { kernel = 1, stride = 1, dilation = 1 } = form;
  // At stride 1 both are alike, and ONNX Runtime takes no dilation with `same`.
  const isSame = config['tf_padding'] === true && stride > 1;
  const padding = isSame ? 'same' : Math.trunc((kernel - 1) / 2) * dilation;
  return chain(
    say`Convolution and norm`,
    find.conv('convolution', ...sizes, { ...form, padding, bias: false }),
    find.batchNorm('normalization', sizes[1], numberAt(config, 'layer_norm_eps')),
    act === '' ? undefined : activation(act),
  );
}

const mobileWidths = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320];
const mobileStrides = [2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1];

const mobileNetV2: Form = {
  modelType: 'mobilenet_v2',
  name: 'MobileNetV2',
  defaults: {
    depth_multiplier: 1,
    depth_divisible_by: 8,
    min_depth: 8,
    expand_ratio: 6,
    output_stride: 32,
    first_layer_is_expansion: true,
    finegrained_output: true,
    hidden_act: 'relu6',
    tf_padding: true,
    layer_norm_eps: 0.001,
  },
  only: {},
  place: 'layer.',
  blocks: (config) => {
    let [stride, dilation] = [2, 1];
    return mobileStrides.map((own, i) => {
      const [input = 0, out = 0] = mobileWidths.slice(i, i + 2).map((one) => narrowed(config, one));
      const isFull = stride === numberAt(config, 'output_stride');
      const sizes = { input, out, stride: isFull ? 1 : own, dilation: isFull ? dilation : 1 };
      dilation *= isFull ? own : 1;
      stride *= sizes.stride;
      return { ...sizes, kernel: 3, isSum: sizes.stride === 1 && input === out };
    });
  },
  stem: (config, find) => {
    const at = (name: string): PieceFinder => find.at(`conv_stem.${name}.`);
    const [width, out] = [narrowed(config, 32), narrowed(config, 16)];
    return chain(
      say`Stem`,
      mobileLayer(config, at('first_conv'), [config.num_channels, width], { kernel: 3, stride: 2 }),
      config['first_layer_is_expansion'] === false
        ? mobileLayer(config, at('expand_1x1'), [width, width], {})
        : undefined,
      mobileLayer(config, at('conv_3x3'), [width, width], { kernel: 3, groups: width }),
      mobileLayer(config, at('reduce_1x1'), [width, out], {}, ''),
    );
  },
  branch: (config, find, { input, out, stride, dilation }) => {
    const inner = multipleNear(
      roundHalfEven(input * numberAt(config, 'expand_ratio')),
      numberAt(config, 'depth_divisible_by'),
      numberAt(config, 'min_depth'),
    );
    const depthwise = { kernel: 3, stride, dilation, groups: inner };
    return chain(
      say`Inverted residual`,
      mobileLayer(config, find.at('expand_1x1.'), [input, inner], {}),
      mobileLayer(config, find.at('conv_3x3.'), [inner, inner], depthwise),
      mobileLayer(config, find.at('reduce_1x1.'), [inner, out], {}, ''),
    );
  },
  end: (config, find, width) => {
    const isWide =
      config['finegrained_output'] === true && numberAt(config, 'depth_multiplier') < 1;
    const out = isWide ? 1280 : narrowed(config, 1280);
    return mobileLayer(config, find.at('conv_1x1.'), [width, out], {});
  },
};

const scaled = (config: ConfigFields, channels: number): number =>
  multipleNear(channels * numberAt(config, 'width_coefficient'), numberAt(config, 'depth_divisor'));

/** Convolution, norm and activation with individual names. */
function named(
  config: StagedConfig,
  find: PieceFinder,
  [convolution, norm]: readonly [string, string],
  sizes: readonly [input: number, out: number],
  form: Convolution,
  isActive = true,
): Piece {
  return chain(
    say`Convolution and norm`,
    find.conv(convolution, ...sizes, { ...form, bias: false }),
    find.batchNorm(norm, sizes[1], numberAt(config, 'batch_norm_eps')),
    isActive ? activation(config.hidden_act) : undefined,
  );
}

/** arXiv 1905.11946 */
const efficientNet: Form = {
  modelType: 'efficientnet',
  name: 'EfficientNet',
  defaults: {
    width_coefficient: 2,
    depth_coefficient: 3.1,
    depth_divisor: 8,
    kernel_sizes: [3, 3, 5, 3, 5, 5, 3],
    in_channels: [32, 16, 24, 40, 80, 112, 192],
    out_channels: [16, 24, 40, 80, 112, 192, 320],
    depthwise_padding: [],
    strides: [1, 2, 2, 2, 1, 2, 1],
    num_block_repeats: [1, 2, 2, 3, 3, 4, 1],
    expand_ratios: [1, 6, 6, 6, 6, 6, 6],
    squeeze_expansion_ratio: 0.25,
    hidden_act: 'swish',
    pooling_type: 'mean',
    batch_norm_eps: 0.001,
  },
  only: { pooling_type: 'mean' },
  place: 'encoder.blocks.',
  blocks: (config) => {
    const at = (field: string, i: number): number => listAt(config, field)[i] ?? 0;
    return listAt(config, 'num_block_repeats').flatMap((repeats, i) => {
      const scale = numberAt(config, 'depth_coefficient');
      const count = readSize(Math.ceil(scale * repeats), 'num_block_repeats');
      const out = scaled(config, at('out_channels', i));
      return Array.from({ length: count }, (_, j) => ({
        input: j === 0 ? scaled(config, at('in_channels', i)) : out,
        out,
        stride: j === 0 ? at('strides', i) : 1,
        kernel: at('kernel_sizes', i),
        dilation: 1,
        isSum: j > 0,
      }));
    });
  },
  stem: (config, find) =>
    named(
      config,
      find,
      ['embeddings.convolution', 'embeddings.batchnorm'],
      [config.num_channels, scaled(config, 32)],
      { kernel: 3, stride: 2, padding: [0, 1] },
    ),
  branch: (config, find, { input, out, stride, kernel }, number) => {
    const expands = find.has('expansion.expand_conv.weight');
    const inner = expands ? find.rows('expansion.expand_conv') : input;
    const half = Math.floor(kernel / 2);
    const isWide = listAt(config, 'depthwise_padding').includes(number);
    const narrow = Math.max(1, Math.trunc(input * numberAt(config, 'squeeze_expansion_ratio')));
    return chain(
      say`Inverted residual`,
      expands
        ? named(config, find, ['expansion.expand_conv', 'expansion.expand_bn'], [input, inner], {})
        : undefined,
      named(
        config,
        find,
        ['depthwise_conv.depthwise_conv', 'depthwise_conv.depthwise_norm'],
        [inner, inner],
        {
          kernel,
          stride,
          groups: inner,
          padding: stride === 2 && !isWide ? [half - 1, half] : half,
        },
      ),
      squeezed(
        chain(
          say`Gate`,
          find.conv('squeeze_excite.reduce', inner, narrow),
          activation(config.hidden_act),
          find.conv('squeeze_excite.expand', narrow, inner),
          sigmoid,
        ),
      ),
      named(
        config,
        find,
        ['projection.project_conv', 'projection.project_bn'],
        [inner, out],
        {},
        false,
      ),
    );
  },
  end: (config, find, width) =>
    named(config, find, ['encoder.top_conv', 'encoder.top_bn'], [width, scaled(config, 1280)], {}),
};

export const mobileNets: readonly StagedFamily[] = [mobileNetV2, efficientNet].map(inverted);
