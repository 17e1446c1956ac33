import * as v from 'valibot';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { UserError } from '../../user-error';
import { activations, emitActivation } from '../parts/activations';
import { emitLinearOver } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { Norm, NormStyle } from '../parts/norm';
import { emitWeight } from '../parts/weight';
import { size } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import type { EncoderConfig } from './encoder-config';
import { say } from '../../message';

/** Tensor names of the audio front end (wav2vec 2.0, arXiv 2006.11477). */
export interface AudioNames {
  readonly kind: 'audio';
  /** Convolutions over time are `<convolutions>.<number>.conv`, each followed by its norm. */
  readonly convolutions: string;
  /** From their channels to the width of the stream, and the norm in front. */
  readonly projection: string;
  readonly projectionNorm: string;
  /**
   * Position convolutions, whose result is added to the sequence: one with weight normalization per kernel position
   * (arXiv 1602.07868), or `<positions>.<number>.conv` in sequence, each followed by a norm.
   */
  readonly positions: string;
  readonly positionsAre: 'one' | 'numbered';
  /** Norm of the sum. */
  readonly norm?: string;
}

interface SoundConvolution {
  readonly weight: LazyTensor;
  readonly bias: LazyTensor | undefined;
  readonly stride: number;
  readonly norm: Norm | undefined;
}

/** Layers that turn audio samples into the first hidden states, with their weights. */
export interface AudioEmbedding {
  readonly kind: 'audio';
  readonly convolutions: readonly SoundConvolution[];
  /** True if norms are computed over time for each channel, instead of over the channels. */
  readonly normsTime: boolean;
  readonly projection: { readonly norm: Norm | undefined; readonly linear: Linear };
  readonly positions: readonly {
    readonly weight: LazyTensor;
    /** [1, 1, width of the window], if the weight is normalized (weight norm). */
    readonly lengths: LazyTensor | undefined;
    readonly bias: LazyTensor;
  }[];
  readonly activation: string;
}

/** Epsilon of the norms between convolutions. config.json only sets that of the other norms. */
const convolutionEpsilon = 1e-5;

const schema = v.looseObject({
  conv_dim: v.pipe(v.array(size), v.minLength(1)),
  conv_kernel: v.array(size),
  conv_stride: v.array(size),
  conv_bias: v.boolean(),
  feat_extract_norm: v.picklist(['group', 'layer']),
  feat_extract_activation: v.picklist(Object.keys(activations)),
  feat_proj_layer_norm: v.optional(v.boolean(), true),
  num_conv_pos_embeddings: size,
  num_conv_pos_embedding_groups: size,
  conv_pos_kernel_size: v.optional(size),
});

/** Defaults of fields missing from config.json. */
export const audioDefaults = {
  conv_dim: [512, 512, 512, 512, 512, 512, 512],
  conv_kernel: [10, 3, 3, 3, 3, 2, 2],
  conv_stride: [5, 2, 2, 2, 2, 2, 2],
  conv_bias: false,
  feat_extract_norm: 'group',
  feat_extract_activation: 'gelu',
  num_conv_pos_embeddings: 128,
  num_conv_pos_embedding_groups: 16,
};

type AudioFields = v.InferOutput<typeof schema>;

function readFields(config: EncoderConfig, { config: file }: ModelFolder): AudioFields {
  const { success, output, issues } = v.safeParse(schema, config);
  const [issue] = issues ?? [];
  const isEven =
    success &&
    [output.conv_kernel, output.conv_stride].every(
      ({ length }) => length === output.conv_dim.length,
    );
  if (success && isEven) {
    return output;
  }
  throw new UserError(
    issue === undefined ? 'audio-lengths-mismatch' : 'audio-settings-invalid',
    issue === undefined
      ? say`conv_dim, conv_kernel and conv_stride have different lengths.`
      : say`An audio model needs other settings: ${issue.message}.`,
    {
      file,
      field: issue === undefined ? 'conv_dim' : (v.getDotPath(issue) ?? 'conv_dim'),
      remedy: say`Correct the field: the model can't run without it.`,
    },
  );
}

/**
 * Finds the tensors of an embedding of sounds below `prefix`.
 * @throws UserError naming the tensor or config field at fault.
 */
export function findAudioEmbedding(
  names: AudioNames,
  config: EncoderConfig,
  folder: ModelFolder,
  tensors: TensorFinder,
  prefix: string,
): { readonly embedding: AudioEmbedding; readonly startNorms: Norm[] } {
  const fields = readFields(config, folder);
  const { hidden_size: hidden } = config;
  const { conv_dim: widths, feat_extract_norm: kind } = fields;
  const at = (name: string): string => `${prefix}${name}`;
  const convolutions = widths.map((width, i): SoundConvolution => {
    const place = at(`${names.convolutions}.${i}`);
    const shape = [width, widths[i - 1] ?? 1, fields.conv_kernel[i] ?? 1];
    const isNormed = kind === 'layer' || i === 0;
    return {
      weight: tensors.take(`${place}.conv.weight`, shape),
      bias: fields.conv_bias ? tensors.take(`${place}.conv.bias`, [width]) : undefined,
      stride: fields.conv_stride[i] ?? 1,
      norm: isNormed ? tensors.norm(`${place}.layer_norm`, width) : undefined,
    };
  });
  const last = widths.at(-1) ?? 1;
  const projection = {
    norm: fields.feat_proj_layer_norm ? tensors.norm(at(names.projectionNorm), last) : undefined,
    linear: tensors.linear(at(names.projection), hidden, last, true),
  };
  const embedding: AudioEmbedding = {
    kind: 'audio',
    convolutions,
    normsTime: kind === 'group',
    projection,
    positions: findPositions(names, fields, tensors, at(names.positions), hidden),
    activation: fields.feat_extract_activation,
  };
  return {
    embedding,
    startNorms: names.norm === undefined ? [] : [tensors.norm(at(names.norm), hidden)],
  };
}

function findPositions(
  { positionsAre }: AudioNames,
  fields: AudioFields,
  tensors: TensorFinder,
  place: string,
  hidden: number,
): AudioEmbedding['positions'] {
  const { num_conv_pos_embeddings: count, num_conv_pos_embedding_groups: groups } = fields;
  const kernelShape = (kernel: number): number[] => [hidden, hidden / groups, kernel];
  if (positionsAre === 'numbered') {
    return Array.from({ length: count }, (_, i) => ({
      weight: tensors.take(
        `${place}.${i}.conv.weight`,
        kernelShape(fields.conv_pos_kernel_size ?? 19),
      ),
      lengths: undefined,
      bias: tensors.take(`${place}.${i}.conv.bias`, [hidden]),
    }));
  }
  // Names of PyTorch's older weight norm and of its parametrization.
  const [lengths, directions] = tensors.has(`${place}.conv.weight_g`)
    ? ['weight_g', 'weight_v']
    : ['parametrizations.weight.original0', 'parametrizations.weight.original1'];
  return [
    {
      weight: tensors.take(`${place}.conv.${directions}`, kernelShape(count)),
      lengths: tensors.take(`${place}.conv.${lengths}`, [1, 1, count]),
      bias: tensors.take(`${place}.conv.bias`, [hidden]),
    },
  ];
}

/** Number of audio samples in one frame. */
export const leastSamples = ({ convolutions }: Pick<AudioEmbedding, 'convolutions'>): number =>
  convolutions.reduceRight(
    (frames, { weight, stride }) => (frames - 1) * stride + (weight.shape[2] ?? 1),
    1,
  );

/**
 * Emits the front end for audio samples [batch, samples], up to the first norm of the stream: [batch, frames, hidden].
 */
export function emitAudioEmbedding(
  graph: GraphBuilder,
  { convolutions, normsTime, projection, positions, activation }: AudioEmbedding,
  style: NormStyle,
  samples: Value,
): Value {
  const turn = (x: Value): Value => graph.op('Transpose', [x], { perm: [0, 2, 1] });
  const activate = (x: Value): Value => emitActivation(graph, activation, x);
  const between = { kind: 'layer', epsilon: convolutionEpsilon } as const;
  const overChannels = (x: Value, norm: Norm): Value =>
    turn(emitNorm(graph, between, turn(x), norm));
  const channels = graph.step('convolutions', () =>
    convolutions.reduce(
      (x, { weight, bias, stride, norm }) => {
        const inputs = [weight, ...(bias === undefined ? [] : [bias])];
        const y = graph.op('Conv', [x, ...inputs.map((tensor) => emitWeight(graph, tensor))], {
          kernel_shape: weight.shape.slice(2),
          strides: [stride],
        });
        const normed =
          norm === undefined ? y : normsTime ? emitTimeNorm(graph, y, norm) : overChannels(y, norm);
        return activate(normed);
      },
      graph.op('Unsqueeze', [samples, graph.ints([1])]),
    ),
  );
  const frames = turn(channels);
  const { norm, linear } = projection;
  const read = norm === undefined ? frames : emitNorm(graph, style, frames, norm);
  const projected = emitLinearOver(graph, linear, read);
  const places = graph.step('position-convolution', () =>
    positions.reduce((x, { weight, lengths, bias }) => {
      const [out = 1, inGroup = 1, kernel = 1] = weight.shape;
      const half = Math.trunc(kernel / 2);
      const y = graph.op('Conv', [x, emitWindow(graph, weight, lengths), emitWeight(graph, bias)], {
        kernel_shape: [kernel],
        pads: [half, kernel - 1 - half],
        group: out / inGroup,
      });
      return activate(lengths === undefined ? overChannels(y, {}) : y);
    }, turn(projected)),
  );
  return graph.op('Add', [projected, turn(places)]);
}

/** Normalizes each channel of [batch, channels, time] over time. */
function emitTimeNorm(graph: GraphBuilder, x: Value, { weight, bias }: Norm): Value {
  const tensors = [weight, bias].filter((tensor) => tensor !== undefined);
  return graph.op(
    'InstanceNormalization',
    [x, ...tensors.map((tensor) => emitWeight(graph, tensor))],
    { epsilon: float(convolutionEpsilon) },
  );
}

/** The weight [out, in, window] itself, or length · direction / |direction| for each place of the window. */
function emitWindow(
  graph: GraphBuilder,
  weight: LazyTensor,
  lengths: LazyTensor | undefined,
): Value {
  const stored = emitWeight(graph, weight);
  if (lengths === undefined) {
    return stored;
  }
  const size = graph.op('ReduceL2', [stored], { axes: [0, 1], keepdims: 1 });
  return graph.op('Mul', [stored, graph.op('Div', [emitWeight(graph, lengths), size])]);
}

/** All tensors before the first norm of the stream: convolutions over time and the following layers. */
export function audioTensors({ convolutions, projection, positions }: AudioEmbedding): {
  readonly convolutions: readonly (LazyTensor | undefined)[];
  readonly positions: readonly (LazyTensor | undefined)[];
  readonly projection: AudioEmbedding['projection'];
} {
  return {
    convolutions: convolutions.flatMap(({ weight, bias, norm }) => [
      weight,
      bias,
      norm?.weight,
      norm?.bias,
    ]),
    positions: positions.flatMap(({ weight, lengths, bias }) => [weight, lengths, bias]),
    projection,
  };
}
