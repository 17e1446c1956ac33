import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { AltUpNames, LaurelNames } from '../../transformer/block-end-names';
import type { ModelConfig } from '../../transformer/model-config';
import type { TensorFinder } from '../../transformer/tensor-finder';
import { emitLinearOver } from '../linear';
import type { Linear } from '../linear';
import { emitNorm } from '../norm';
import type { Norm, NormStyle } from '../norm';

/** Streams side by side; sublayers read the first (AltUp, arXiv 2301.13310). */
export interface AltUp {
  /** Number of streams. */
  readonly count: number;
  /** [hidden, hidden] each: projections of the first stream that initialize the others. */
  readonly enter: readonly Linear[];
}

/** Stream mixing (AltUp): a router tanh(router(norm(x) / hidden)) and coefficients of its outputs. */
export interface StreamMixing {
  readonly norm: Norm;
  /** [count, hidden] */
  readonly router: Linear;
  /** [count², count] for predictions, [count, count] for corrections. */
  readonly coefficients: Linear;
}

/** Low-rank residual parallel to attention (LAuReL, arXiv 2411.07501): n + postNorm(right(left(n))) with n = norm(x). */
export interface Laurel {
  /** Norm of the attention. */
  readonly norm: Norm;
  readonly left: Linear;
  readonly right: Linear;
  readonly postNorm: Norm;
}

/** Smallest mean of squares that a stream is divided by. */
const leastSquare = 1e-5;

/** Emits the streams in front of the first block: x, and projections of x as large as x. */
export function emitEnter(graph: GraphBuilder, { enter }: AltUp, x: Value): Value[] {
  return [x, ...enter.map((linear) => emitAsLarge(graph, emitLinearOver(graph, linear, x), x))];
}

/** Emits one stream of all: the mean of the first, and of projections of the others as large as it. */
export function emitMerged(
  graph: GraphBuilder,
  leave: readonly Linear[],
  streams: readonly Value[],
): Value {
  const [first = '', ...others] = streams;
  const all = leave.map((linear, i) =>
    emitAsLarge(graph, emitLinearOver(graph, linear, others[i] ?? ''), first),
  );
  const sum = all.reduce((before, one) => graph.op('Add', [before, one]), first);
  return graph.op('Mul', [sum, graph.scalar(1 / streams.length)]);
}

/** Emits y with the root mean square of x. */
function emitAsLarge(graph: GraphBuilder, y: Value, x: Value): Value {
  const square = (of: Value): Value =>
    graph.op('ReduceMean', [graph.op('Mul', [of, of])], { axes: [-1], keepdims: 1 });
  const own = graph.op('Sqrt', [graph.op('Max', [square(y), graph.scalar(leastSquare)])]);
  return graph.op('Div', [graph.op('Mul', [y, graph.op('Sqrt', [square(x)])]), own]);
}

/** Emits the predicted streams of a block: each plus a combination of all, with coefficients from the first. */
export function emitPrediction(
  graph: GraphBuilder,
  style: NormStyle,
  mixing: StreamMixing,
  streams: readonly Value[],
): Value[] {
  const [first = ''] = streams;
  const { length: count } = streams;
  const coefficients = graph.op('Reshape', [
    emitCoefficients(graph, style, mixing, first),
    graph.ints([0, 0, count, count]),
  ]);
  const rows = streams.map((one) => graph.op('Unsqueeze', [one, graph.ints([2])]));
  const all = graph.op('Concat', rows, { axis: 2 });
  const sum = graph.op('Add', [graph.op('MatMul', [coefficients, all]), all]);
  const sizes = graph.ints(streams.map(() => 1));
  return graph
    .ops('Split', [sum, sizes], count, { axis: 2 })
    .map((one) => graph.op('Squeeze', [one, graph.ints([2])]));
}

/** Emits the streams after a block: each prediction plus a multiple of `given` − predicted first stream. */
export function emitCorrection(
  graph: GraphBuilder,
  style: NormStyle,
  mixing: StreamMixing,
  streams: readonly Value[],
  given: Value,
): Value[] {
  const [first = ''] = streams;
  const news = graph.op('Sub', [given, first]);
  const shares = graph.op('Add', [emitCoefficients(graph, style, mixing, given), graph.scalar(1)]);
  const sizes = graph.ints(streams.map(() => 1));
  const byStream = graph.ops('Split', [shares, sizes], streams.length, { axis: -1 });
  return streams.map((one, i) =>
    graph.op('Add', [one, graph.op('Mul', [news, byStream[i] ?? ''])]),
  );
}

/** Emits coefficients [batch, sequence, out] of x. */
function emitCoefficients(
  graph: GraphBuilder,
  style: NormStyle,
  { norm, router, coefficients }: StreamMixing,
  x: Value,
): Value {
  const [, hidden = 1] = router.weight.shape;
  const normed = emitNorm(graph, style, x, norm);
  const scaled = graph.op('Mul', [normed, graph.scalar(1 / hidden)]);
  return emitLinearOver(
    graph,
    coefficients,
    graph.op('Tanh', [emitLinearOver(graph, router, scaled)]),
  );
}

/** Emits (sum + n + postNorm(right(left(n)))) / √2 with n = norm(input) and `sum` = input + attention. */
export function emitLaurel(
  graph: GraphBuilder,
  style: NormStyle,
  { norm, left, right, postNorm }: Laurel,
  input: Value,
  sum: Value,
): Value {
  const normed = emitNorm(graph, style, input, norm);
  const low = emitLinearOver(graph, right, emitLinearOver(graph, left, normed));
  const added = graph.op('Add', [normed, emitNorm(graph, style, low, postNorm)]);
  return graph.op('Mul', [graph.op('Add', [sum, added]), graph.scalar(Math.SQRT1_2)]);
}

/** The matrices outside the blocks of a model with several streams, and back. */
export function findAltUp(
  names: AltUpNames,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): { readonly altUp: AltUp; readonly leave: readonly Linear[] } {
  const count = names.count(config);
  const { hidden_size: hidden } = config;
  const all = (name: string): Linear[] =>
    tensors.has(`${prefix}${name}.weight`)
      ? tensors
          .slices(`${prefix}${name}.weight`, [count - 1, hidden, hidden])
          .map((weight) => ({ weight }))
      : Array.from({ length: count - 1 }, (_, i) =>
          tensors.linear(`${prefix}${name}.${i}`, hidden, hidden, false),
        );
  return { altUp: { count, enter: all(names.enter) }, leave: all(names.leave) };
}

/** Finds the stream mixing before or after a block. */
export function findMixing(
  names: AltUpNames,
  { count }: AltUp,
  place: 'predict' | 'correct',
  tensors: TensorFinder,
  prefix: string,
  hidden: number,
): StreamMixing {
  const rows = place === 'predict' ? count * count : count;
  return {
    norm: tensors.norm(`${prefix}${names.norm}`, hidden),
    router: tensors.linear(`${prefix}${names.router}`, count, hidden, false),
    coefficients: tensors.linear(`${prefix}${names[place]}`, rows, count, false),
  };
}

/** @param norm name of the attention's norm */
export function findLaurel(
  { rank, left, right, postNorm }: LaurelNames,
  norm: string,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): Laurel {
  const { hidden_size: hidden } = config;
  const width = rank(config);
  return {
    norm: tensors.norm(`${prefix}${norm}`, hidden),
    left: tensors.linear(`${prefix}${left}`, width, hidden, false),
    right: tensors.linear(`${prefix}${right}`, hidden, width, false),
    postNorm: tensors.norm(`${prefix}${postNorm}`, hidden),
  };
}
