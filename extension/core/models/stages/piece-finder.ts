import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { activations } from '../parts/activations';
import { emitLinearOver } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import { emitWeight } from '../parts/weight';
import type { MatrixEncoding } from '../matrix-encoding';
import { partTensors } from '../transformer/part-tensors';
import type { TensorFinder } from '../transformer/tensor-finder';
import { weightless } from './piece';
import type { Piece } from './piece';
import { say, verbatim } from '../../message';

/** Hyperparameters of a convolution, except its numbers of channels. */
export interface Convolution {
  /** Height and width of the kernel in pixels; default 1. */
  readonly kernel?: number;
  readonly stride?: number;
  /**
   * Zero padding on all sides, or [before, after] for rows and columns. `same` is ONNX's SAME_UPPER. Default: half
   * the kernel.
   */
  readonly padding?: number | 'same' | readonly [start: number, end: number];
  readonly groups?: number;
  /** True when absent. */
  readonly bias?: boolean;
  readonly dilation?: number;
}

/** Convolution with non-overlapping windows. */
export const window = (size: number): Convolution => ({ kernel: size, stride: size, padding: 0 });

/** Convolution with non-overlapping windows and zero padding at the end, for images whose sides aren't multiples of `size`. */
export const paddedWindow = (size: number): Convolution => ({
  ...window(size),
  padding: [0, size - 1],
});

/** Channel axis of the stream: [batch, height, width, channels] or [batch, channels, height, width]. */
export type Channels = 'last' | 'first';

export const channelsLast = weightless(say`Channels last`, (graph, x) =>
  graph.op('Transpose', [x], { perm: [0, 2, 3, 1] }),
);
export const channelsFirst = weightless(say`Channels first`, (graph, x) =>
  graph.op('Transpose', [x], { perm: [0, 3, 1, 2] }),
);

/** [batch, channels, height, width] → [batch, channels] */
export const pixelMean = weightless(say`Mean of pixels`, (graph, x) =>
  graph.op('ReduceMean', [x], { axes: [2, 3], keepdims: 0 }),
);

/** Max pooling over [batch, channels, height, width]. */
export const maxPool = (kernel: number, stride: number, padding: number): Piece =>
  weightless(say`Max pooling`, (graph, x) =>
    graph.op('MaxPool', [x], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
    }),
  );

type ConvolutionPiece = Omit<Piece, 'emit'> & {
  /** `change` is applied to the stored weights. */
  readonly emit: (graph: GraphBuilder, x: Value, change?: (weights: Value) => Value) => Value;
};

/** Finds the tensors of layers and returns the layers as pieces. */
export class PieceFinder {
  public constructor(
    public readonly tensors: TensorFinder,
    /** Prefix of tensor names. */
    private readonly prefix: string,
    /** Encodings that replace stored weights of linear layers, by weight name. */
    private readonly forms: ReadonlyMap<string, MatrixEncoding> = new Map(),
  ) {}

  /** Returns a finder for tensor names that begin with `place`. */
  public at(place: string): PieceFinder {
    return new PieceFinder(this.tensors, `${this.prefix}${place}`, this.forms);
  }

  public has(name: string): boolean {
    return this.tensors.has(`${this.prefix}${name}`);
  }

  /** Number of rows of a stored weight. */
  public rows(name: string): number {
    return this.tensors.rows(`${this.prefix}${name}`);
  }

  public take(name: string, shape: readonly number[]): LazyTensor {
    return this.tensors.take(`${this.prefix}${name}`, shape);
  }

  /** Convolution over [batch, in, height, width]. */
  public conv(name: string, input: number, out: number, form: Convolution = {}): ConvolutionPiece {
    const { kernel = 1, stride = 1, groups = 1, bias = true, dilation = 1 } = form;
    const { padding = Math.floor(kernel / 2) } = form;
    const [start, end] = typeof padding === 'object' ? padding : [padding, padding];
    const weight = this.take(`${name}.weight`, [out, input / groups, kernel, kernel]);
    const tensors = [weight, ...(bias ? [this.take(`${name}.bias`, [out])] : [])];
    return {
      label: say`Convolution ${kernel} × ${kernel}`,
      tensors,
      outputs: tensors,
      emit: (graph, x, change = (value) => value) => {
        const [weights = '', ...biases] = tensors.map((tensor) => emitWeight(graph, tensor));
        return graph.op('Conv', [x, change(weights), ...biases], {
          kernel_shape: [kernel, kernel],
          strides: [stride, stride],
          ...(typeof start === 'number' && typeof end === 'number'
            ? { pads: [start, start, end, end] }
            : { auto_pad: 'SAME_UPPER' }),
          dilations: [dilation, dilation],
          group: groups,
        });
      },
    };
  }

  /** A convolution without bias whose weights have mean 0 and variance 1 in each output channel (arXiv 1903.10520). */
  public standardizedConv(name: string, input: number, out: number, form: Convolution): Piece {
    const { tensors, emit, ...piece } = this.conv(name, input, out, { ...form, bias: false });
    return {
      ...piece,
      tensors,
      emit: (graph, x) => emit(graph, x, (weight) => standardized(graph, weight)),
    };
  }

  /** Batch norm with stored statistics (arXiv 1502.03167), over [batch, channels, height, width]. `width` is the number of channels. */
  public batchNorm(name: string, width: number, epsilon = 1e-5): Piece {
    const part = (field: string): LazyTensor => this.take(`${name}.${field}`, [width]);
    const own = [part('weight'), part('bias')];
    const tensors = [...own, part('running_mean'), part('running_var')];
    return {
      label: say`Batch norm`,
      tensors,
      outputs: own,
      emit: (graph, x) =>
        graph.op('BatchNormalization', [x, ...tensors.map((tensor) => emitWeight(graph, tensor))], {
          epsilon: float(epsilon),
        }),
    };
  }

  /** Layer norm over the channel axis. */
  public layerNorm(
    name: string,
    width: number,
    epsilon: number,
    channels: Channels = 'last',
  ): Piece {
    const norm = this.tensors.norm(`${this.prefix}${name}`, width);
    const tensors = [norm.weight, norm.bias].filter((tensor) => tensor !== undefined);
    const emit = (graph: GraphBuilder, x: Value): Value =>
      emitNorm(graph, { kind: 'layer', epsilon }, x, norm);
    return {
      label: say`Layer norm`,
      tensors,
      outputs: tensors,
      emit:
        channels === 'last'
          ? emit
          : (graph, x) => channelsFirst.emit(graph, emit(graph, channelsLast.emit(graph, x))),
    };
  }

  /** Group norm over [batch, channels, height, width] (arXiv 1803.08494). `width` is the number of channels. */
  public groupNorm(name: string, width: number, groups = 1, epsilon = 1e-5): Piece {
    const tensors = [this.take(`${name}.weight`, [width]), this.take(`${name}.bias`, [width])];
    return {
      label: say`Group norm`,
      tensors,
      outputs: tensors,
      emit: (graph, x) => {
        const split = graph.op('Reshape', [x, graph.ints([0, groups, -1])]);
        const mean = (value: Value): Value =>
          graph.op('ReduceMean', [value], { axes: [-1], keepdims: 1 });
        const centered = graph.op('Sub', [split, mean(split)]);
        const variance = mean(graph.op('Mul', [centered, centered]));
        const root = graph.op('Sqrt', [graph.op('Add', [variance, graph.scalar(epsilon)])]);
        const normed = graph.op('Div', [centered, root]);
        const whole = graph.op('Reshape', [normed, graph.op('Shape', [x])]);
        const [gain = '', shift = ''] = tensors.map((tensor) =>
          graph.op('Reshape', [emitWeight(graph, tensor), graph.ints([width, 1, 1])]),
        );
        return graph.op('Add', [graph.op('Mul', [whole, gain]), shift]);
      },
    };
  }

  /** Linear layer over the last axis. */
  public linear(name: string, input: number, out: number, bias = true): Piece {
    const linear = this.tensors.linear(`${this.prefix}${name}`, out, input, bias);
    const encoding = this.forms.get(linear.weight.name);
    return linearPiece(encoding === undefined ? linear : { ...linear, encoding });
  }

  /** Linear layer over the last axis, with the number of classes in the checkpoint. Default input size: that of the stored weight. */
  public classifier(name: string, input = this.tensors.columns(`${this.prefix}${name}`)): Piece {
    return this.linear(name, input, this.rows(name));
  }

  /** Scales each channel by a stored factor. */
  public scale(name: string, width: number, channels: Channels): Piece {
    const tensor = this.take(name, [width]);
    return {
      label: say`× by channel`,
      tensors: [tensor],
      outputs: [tensor],
      emit: (graph, x) => {
        const factors = emitWeight(graph, tensor);
        const shaped =
          channels === 'last' ? factors : graph.op('Reshape', [factors, graph.ints([width, 1, 1])]);
        return graph.op('Mul', [x, shaped]);
      },
    };
  }
}

function linearPiece(linear: Linear): Piece {
  const tensors = partTensors(linear);
  return {
    label: say`Linear`,
    tensors,
    outputs: tensors,
    linears: [{ role: 'other', linear }],
    emit: (graph, x) => emitLinearOver(graph, linear, x),
  };
}

/** Activation function as a piece. @throws Error if {@link activations} doesn't have it; config.json is checked earlier. */
export function activation(name: string): Piece {
  const own = activations[name];
  if (own === undefined) {
    throw new Error(`no activation is named ${name}`);
  }
  return weightless(verbatim(name), own);
}

export const sigmoid = weightless(verbatim('sigmoid'), (graph, x) => graph.op('Sigmoid', [x]));

/** Squeeze and excitation (arXiv 1709.01507): multiplies channels by `gate` of their means. */
export function squeezed(gate: Piece): Piece {
  return {
    label: say`Squeeze and excitation`,
    tensors: gate.tensors,
    emit: (graph, x) => {
      const pooled = graph.op('ReduceMean', [x], { axes: [2, 3], keepdims: 1 });
      return graph.op('Mul', [x, gate.emit(graph, pooled)]);
    },
  };
}

/** Normalizes weights [out, in, height, width] to mean 0 and variance 1 per output channel. */
function standardized(graph: GraphBuilder, weights: Value): Value {
  const mean = (x: Value): Value => graph.op('ReduceMean', [x], { axes: [1, 2, 3], keepdims: 1 });
  const centered = graph.op('Sub', [weights, mean(weights)]);
  const variance = graph.op('Add', [
    mean(graph.op('Mul', [centered, centered])),
    graph.scalar(1e-8),
  ]);
  return graph.op('Div', [centered, graph.op('Sqrt', [variance])]);
}
