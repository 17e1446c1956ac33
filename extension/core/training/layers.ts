import { DataType, float } from '../onnx/graph-builder';
import type { Attribute, Dimension, GraphBuilder, Value } from '../onnx/graph-builder';
import { activations } from '../models/parts/activations';
import { UserError } from '../user-error';
import { emitDropout } from './dropout';
import type { ShapedValue } from './losses';
import type { Mode } from './trainable-model';
import { say } from '../message';
import type { Message } from '../message';

/** Graph and naming scope that layers are emitted into. */
export interface LayerContext {
  readonly graph: GraphBuilder;
  readonly mode: Mode;
  /** Declares a parameter of the layer, named after the enclosing layers. */
  readonly parameter: (
    name: string,
    shape: readonly number[],
    initialization: Initialization,
  ) => Value;
  /** Declares a running statistic. */
  readonly buffer: (name: string, shape: readonly number[], value: number) => Value;
  /** Sets the value of a buffer after the step. */
  readonly update: (buffer: Value, next: Value) => void;
  /** Index of this dropout in the model, and the key of the step. */
  readonly dropout: () => { readonly layer: number; readonly key: Value };
  /** Sizes of the first axes of a value, int64. */
  readonly sizes: (of: ShapedValue, axes: number) => Value;
  /** Context of a nested layer. */
  readonly within: (name: string) => LayerContext;
}

/** Part of a model: emits its nodes for the input `x`. */
export type Layer = (context: LayerContext, x: ShapedValue) => ShapedValue;

/** Size of an axis that parameters depend on. */
function known(size: Dimension | undefined, what: Message): number {
  if (typeof size !== 'number') {
    throw new UserError(
      'layer-size-unknown',
      say`The ${what} of a layer's input must be a number, not ${String(size)}.`,
      { remedy: say`Leave only the batch size dynamic.` },
    );
  }
  return size;
}

/** Uniform within ±1/√fanIn, PyTorch's default for linear and convolutional layers. */
const torchUniform = (fanIn: number): Initialization => ({
  kind: 'kaiming-uniform',
  fanIn,
  gainSquared: 1 / 3,
});

export interface DenseOptions {
  readonly bias?: boolean;
  readonly initialization?: (fanIn: number, fanOut: number) => Initialization;
}

/** y = x·Wᵀ + b over the last axis, with W [units, in]. */
export function dense(units: number, options: DenseOptions = {}): Layer {
  const { bias = true, initialization = torchUniform } = options;
  return (context, x) => {
    const { graph, parameter } = context;
    const { value, shape } = x;
    const width = known(shape.at(-1), say`last axis`);
    const weight = parameter('weight', [units, width], initialization(width, units));
    const offset = bias ? [parameter('bias', [units], torchUniform(width))] : [];
    const product = (rows: Value): Value =>
      graph.op('Gemm', [rows, weight, ...offset], { transB: 1 });
    if (shape.length === 2) {
      return { value: product(value), shape: [...shape.slice(0, 1), units] };
    }
    const rows = graph.op('Reshape', [value, graph.ints([-1, width])]);
    return reshape(context, product(rows), x, shape.length - 1, [units]);
  };
}

/** Reshapes to the first axes of `like`, followed by these sizes. */
function reshape(
  { graph, sizes }: LayerContext,
  value: Value,
  like: ShapedValue,
  axes: number,
  further: readonly number[],
): ShapedValue {
  const shape = [...like.shape.slice(0, axes), ...further];
  const open = shape.filter((size) => typeof size !== 'number').length;
  const target =
    open <= 1
      ? graph.ints(shape.map((size) => (typeof size === 'number' ? size : -1)))
      : graph.op('Concat', [sizes(like, axes), graph.ints(further)], { axis: 0 });
  return { value: graph.op('Reshape', [value, target]), shape };
}

export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
  readonly bias?: boolean;
  readonly initialization?: (fanIn: number, fanOut: number) => Initialization;
}

/** Cross-correlation over images [batch, channels, height, width], with W [filters, channels / groups, k, k]. */
export function conv2d(filters: number, kernel: number, options: ConvOptions = {}): Layer {
  const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true } = options;
  const { initialization = torchUniform } = options;
  return ({ graph, parameter }, { value, shape }) => {
    const channels = known(shape[1], say`channels`) / groups;
    const fanIn = channels * kernel * kernel;
    const weight = parameter(
      'weight',
      [filters, channels, kernel, kernel],
      initialization(fanIn, (filters / groups) * kernel * kernel),
    );
    const offset = bias ? [parameter('bias', [filters], torchUniform(fanIn))] : [];
    const attributes: Record<string, Attribute> = {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [dilation, dilation],
      group: groups,
    };
    const spatial = shape
      .slice(2)
      .map((size) =>
        windows(known(size, say`image`), (kernel - 1) * dilation + 1, stride, padding),
      );
    return {
      value: graph.op('Conv', [value, weight, ...offset], attributes),
      shape: [...shape.slice(0, 1), filters, ...spatial],
    };
  };
}

function windows(size: number, extent: number, stride: number, padding: number): number {
  const count = Math.floor((size + 2 * padding - extent) / stride) + 1;
  if (count < 1) {
    throw new UserError(
      'window-too-large',
      say`A window of ${extent} does not fit an image of ${size}.`,
      { remedy: say`Use a smaller window, or fewer layers that shrink the image.` },
    );
  }
  return count;
}

const pool =
  (type: 'MaxPool' | 'AveragePool', kernel: number, stride: number, padding: number): Layer =>
  ({ graph }, { value, shape }) => ({
    value: graph.op(type, [value], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
    }),
    shape: [
      ...shape.slice(0, 2),
      ...shape.slice(2).map((size) => windows(known(size, say`image`), kernel, stride, padding)),
    ],
  });

export const maxPool = (kernel: number, stride = kernel, padding = 0): Layer =>
  pool('MaxPool', kernel, stride, padding);

export const averagePool = (kernel: number, stride = kernel, padding = 0): Layer =>
  pool('AveragePool', kernel, stride, padding);

/** Mean over the image: [batch, channels]. */
export const globalAveragePool: Layer = ({ graph }, { value, shape }) => {
  const pooled = graph.op('GlobalAveragePool', [value]);
  return { value: graph.op('Flatten', [pooled], { axis: 1 }), shape: shape.slice(0, 2) };
};

/** Flattens to [batch, features]. */
export const flatten: Layer = ({ graph }, { value, shape }) => ({
  value: graph.op('Flatten', [value], { axis: 1 }),
  shape: [
    ...shape.slice(0, 1),
    shape.slice(1).reduce<number>((product, size) => product * known(size, say`sizes`), 1),
  ],
});

/** Activation by its name in config.json (relu, gelu, silu, …), or tanh and sigmoid. */
export function activation(name: string): Layer {
  return ({ graph }, { value, shape }) => {
    const simple = { tanh: 'Tanh', sigmoid: 'Sigmoid' }[name];
    const emit = activations[name];
    if (simple === undefined && emit === undefined) {
      throw new UserError('activation-unsupported', say`The activation ${name} is not supported.`, {
        remedy: say`Use one of ${[...Object.keys(activations), 'tanh', 'sigmoid'].join(', ')}.`,
      });
    }
    const activated = simple === undefined ? emit?.(graph, value) : graph.op(simple, [value]);
    return { value: activated ?? value, shape };
  };
}

/** Sets each element to 0 with probability `rate` in training. */
export function dropout(rate: number): Layer {
  return ({ graph, mode, dropout: draw }, { value, shape }) => {
    if (mode === 'evaluate' || rate === 0) {
      return { value, shape };
    }
    const { layer, key } = draw();
    return { value: emitDropout(graph, value, rate, key, layer), shape };
  };
}

/** Norm per channel, axis 1; running statistics are updated with the factor 1 − `momentum`. */
export function batchNorm({ epsilon = 1e-5, momentum = 0.9 } = {}): Layer {
  return ({ graph, mode, parameter, buffer, update }, { value: x, shape }) => {
    const channels = [known(shape[1], say`channels`)];
    const scale = parameter('weight', channels, { kind: 'constant', value: 1 });
    const bias = parameter('bias', channels, { kind: 'constant', value: 0 });
    const mean = buffer('running_mean', channels, 0);
    const variance = buffer('running_var', channels, 1);
    if (mode === 'evaluate') {
      const inputs = [x, scale, bias, mean, variance];
      const y = graph.op('BatchNormalization', inputs, { epsilon: float(epsilon) });
      return { value: y, shape };
    }
    const settings = { epsilon, momentum };
    const old = { mean, variance };
    const { y, next } = emitTrainingBatchNorm(graph, x, { scale, bias }, old, settings);
    update(mean, next.mean);
    update(variance, next.variance);
    return { value: y, shape };
  };
}

/** Norm over the last `axes` axes. */
export function layerNorm({ epsilon = 1e-5, axes = 1 } = {}): Layer {
  return ({ graph, parameter }, { value, shape }) => {
    const sizes = shape.slice(-axes).map((size) => known(size, say`normalized axes`));
    const weight = parameter('weight', sizes, { kind: 'constant', value: 1 });
    const bias = parameter('bias', sizes, { kind: 'constant', value: 0 });
    const attributes = { axis: -axes, epsilon: float(epsilon) };
    return { value: graph.op('LayerNormalization', [value, weight, bias], attributes), shape };
  };
}

/** Rows of a matrix [count, width] by int64 indices: [..., width]. */
export function embedding(count: number, width: number): Layer {
  return ({ graph, parameter }, { value, shape }) => {
    const weight = parameter('weight', [count, width], { kind: 'normal', deviation: 1 });
    return { value: graph.op('Gather', [weight, value]), shape: [...shape, width] };
  };
}

/**
 * Mean of the rows of a matrix [count, width] by int64 indices [batch, length]: [batch, width]. Index 0 is padding and
 * is ignored; the mean of padding only is 0.
 */
export function meanEmbedding(count: number, width: number): Layer {
  return (context, x) => {
    const { graph } = context;
    const rows = embedding(count, width)(context, x);
    const counts = graph.op('Not', [graph.op('Equal', [x.value, graph.ints([0], [])])]);
    const weights = graph.op('Cast', [graph.op('Unsqueeze', [counts, graph.ints([2])])], {
      to: DataType.FLOAT,
    });
    const sum = (value: Value): Value => graph.reduce('ReduceSum', value, [1], 0);
    const number = graph.op('Max', [sum(weights), graph.scalar(1)]);
    const total = sum(graph.op('Mul', [rows.value, weights]));
    return { value: graph.op('Div', [total, number]), shape: [...x.shape.slice(0, 1), width] };
  };
}

/** Runs layers in sequence; they are numbered from 0, or named. */
export function sequential(layers: readonly Layer[] | Readonly<Record<string, Layer>>): Layer {
  return (context, x) =>
    Object.entries(layers).reduce(
      (current, [name, layer]) => layer(context.within(name), current),
      x,
    );
}

/** shortcut(x) + branch(x) */
export function residual(branch: Layer, shortcut?: Layer): Layer {
  return (context, x) => {
    const added = branch(context.within('branch'), x);
    const skipped = shortcut?.(context.within('shortcut'), x) ?? x;
    return { value: context.graph.op('Add', [added.value, skipped.value]), shape: added.shape };
  };
}

export interface AttentionOptions {
  readonly heads: number;
  /** Width of a head; input width divided by the number of heads by default. */
  readonly headSize?: number;
  readonly causal?: boolean;
  /** True if the input and output projections have a bias. */
  readonly bias?: boolean;
}

/** Multi-head self-attention (Vaswani et al. 2017, § 3.2) over [batch, sequence, width]. */
export function attention(options: AttentionOptions): Layer {
  const { heads, headSize, causal = false, bias = true } = options;
  return (context, x) => {
    const { graph } = context;
    const width = known(x.shape.at(-1), say`last axis`);
    const size = headSize ?? width / heads;
    if (!Number.isInteger(size)) {
      throw new UserError(
        'heads-not-divisible',
        say`${heads} heads don't divide a width of ${width}.`,
        { remedy: say`Choose a number of heads that divides it.` },
      );
    }
    const xavier = (fanIn: number, fanOut: number): Initialization => ({
      kind: 'xavier-uniform',
      fanIn,
      fanOut,
    });
    const inner = heads * size;
    const project = dense(3 * inner, { bias, initialization: xavier });
    const projected = project(context.within('in_proj'), x);
    const split = reshape(context, projected.value, x, 2, [3, heads, size]);
    const parts = graph.op('Transpose', [split.value], { perm: [2, 0, 3, 1, 4] });
    const [query = '', key = '', value = ''] = graph
      .ops('Split', [parts, graph.ints([1, 1, 1])], 3, { axis: 0 })
      .map((part) => graph.op('Squeeze', [part, graph.ints([0])]));
    const scaled = graph.op('Mul', [query, graph.scalar(size ** -0.5)]);
    const scores = graph.op('MatMul', [
      scaled,
      graph.op('Transpose', [key], { perm: [0, 1, 3, 2] }),
    ]);
    const masked = causal ? graph.op('Add', [scores, emitMask(context, x)]) : scores;
    const weights = graph.op('Softmax', [masked], { axis: -1 });
    const context2 = graph.op('MatMul', [weights, value]);
    const joined = graph.op('Transpose', [context2], { perm: [0, 2, 1, 3] });
    const merged = reshape(context, joined, x, 2, [inner]);
    return dense(width, { bias })(context.within('out_proj'), merged);
  };
}

/** Causal mask [sequence, sequence]: very negative above the diagonal, otherwise 0. */
function emitMask({ graph, sizes }: LayerContext, x: ShapedValue): Value {
  const length = graph.op('Gather', [sizes(x, 2), graph.ints([1])]);
  const square = graph.op('Concat', [length, length], { axis: 0 });
  const full = graph.op('Expand', [graph.scalar(-1e9), square]);
  return graph.op('Trilu', [full, graph.ints([1], [])], { upper: 1 });
}

/** Distribution of a parameter's initial values. */
export type Initialization =
  /** Uniform within ±√(3 · gain² / fanIn), gain² = 2 for ReLU (He et al. 2015); PyTorch uses 1/3. */
  | { readonly kind: 'kaiming-uniform'; readonly fanIn: number; readonly gainSquared: number }
  | { readonly kind: 'kaiming-normal'; readonly fanIn: number; readonly gainSquared: number }
  /** Uniform within ±√(6 / (fanIn + fanOut)) (Glorot and Bengio 2010, eq. 16). */
  | { readonly kind: 'xavier-uniform'; readonly fanIn: number; readonly fanOut: number }
  | { readonly kind: 'normal'; readonly deviation: number }
  | { readonly kind: 'constant'; readonly value: number };

/**
 * Draws `count` values that depend on seed and name only, so adding a layer doesn't change the values of the others.
 */
export function drawParameter(
  how: Initialization,
  count: number,
  seed: number,
  name: string,
): Float32Array {
  const uniform = generator(seed, name);
  const numbers = (draw: () => number): Float32Array => Float32Array.from({ length: count }, draw);
  const within = (bound: number) => (): number => bound * (2 * uniform() - 1);
  const normal = (deviation: number) => (): number =>
    deviation * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  switch (how.kind) {
    case 'kaiming-uniform':
      return numbers(within(Math.sqrt((3 * how.gainSquared) / how.fanIn)));
    case 'kaiming-normal':
      return numbers(normal(Math.sqrt(how.gainSquared / how.fanIn)));
    case 'xavier-uniform':
      return numbers(within(Math.sqrt(6 / (how.fanIn + how.fanOut))));
    case 'normal':
      return numbers(normal(how.deviation));
    case 'constant':
      return numbers(() => how.value);
  }
}

/** Numbers in [0, 1): SplitMix32 from an FNV-1a hash of seed and name. */
function generator(seed: number, name: string): () => number {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${seed}:${name}`)) {
    state = Math.imul(state ^ byte, 0x01000193);
  }
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** Running statistics of a batch norm, [channels] each. */
interface RunningStatistics {
  readonly mean: Value;
  readonly variance: Value;
}

/**
 * Copies of the running statistics for a batch norm in training mode with momentum 0, which then returns the statistics
 * of the batch. ONNX Runtime overwrites the inputs of a batch norm, even graph inputs, so nothing else may read them.
 */
export function emitScratch(graph: GraphBuilder, { mean, variance }: RunningStatistics): Value[] {
  return [mean, variance].map((value) => graph.op('Mul', [value, graph.scalar(0)]));
}

/**
 * Emits the running statistics after a step as in PyTorch: momentum · old + (1 − momentum) · new, with the unbiased
 * variance.
 */
export function emitRunningStatistics(
  graph: GraphBuilder,
  x: Value,
  old: RunningStatistics,
  batch: RunningStatistics,
  momentum: number,
): RunningStatistics {
  const count = (value: Value): Value =>
    graph.op('Cast', [graph.op('Size', [value])], { to: DataType.FLOAT });
  const number = graph.op('Div', [count(x), count(batch.variance)]);
  const others = graph.op('Max', [graph.op('Sub', [number, graph.scalar(1)]), graph.scalar(1)]);
  const unbiased = graph.op('Mul', [batch.variance, graph.op('Div', [number, others])]);
  const moved = (from: Value, to: Value): Value =>
    graph.op('Add', [
      graph.op('Mul', [from, graph.scalar(momentum)]),
      graph.op('Mul', [to, graph.scalar(1 - momentum)]),
    ]);
  return { mean: moved(old.mean, batch.mean), variance: moved(old.variance, unbiased) };
}

/** Emits batch norm with the statistics of the batch, and the updated running statistics. */
function emitTrainingBatchNorm(
  graph: GraphBuilder,
  x: Value,
  { scale, bias }: { readonly scale: Value; readonly bias: Value },
  old: RunningStatistics,
  { epsilon, momentum }: { readonly epsilon: number; readonly momentum: number },
): { y: Value; next: RunningStatistics } {
  const [y = '', mean = '', variance = ''] = graph.ops(
    'BatchNormalization',
    [x, scale, bias, ...emitScratch(graph, old)],
    3,
    { epsilon: float(epsilon), momentum: float(0), training_mode: 1 },
  );
  return { y, next: emitRunningStatistics(graph, x, old, { mean, variance }, momentum) };
}
