import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { PartKind } from '../../transformer/architecture';
import type { ModelConfig } from '../../transformer/model-config';
import type { TensorFinder } from '../../transformer/tensor-finder';
import { emitNorm } from '../norm';
import type { NormStyle } from '../norm';
import { emitWeight } from '../weight';

/** Names of the tensors of hyper-connections. */
export interface ConnectionNames {
  readonly count: (config: ModelConfig) => number;
  /** Rounds in which rows and columns of a mixing matrix are made to add up to 1. */
  readonly rounds: (config: ModelConfig) => number;
  /** Added to factors, and to sums that are divided by. */
  readonly epsilon: (config: ModelConfig) => number;
  /** What the names of the three tensors begin with, below a block's prefix, by branch. */
  readonly attention: string;
  readonly feedforward: string;
  /** The same outside the blocks, behind the last. */
  readonly head: string;
  /** Modules of a block in transformers. */
  readonly modules: Readonly<Record<'attention' | 'feedforward', string>>;
}

/** What makes factors of all streams: matrix · norm(streams) · scale + base. */
export interface Connection {
  /** [factors, count · hidden] */
  readonly matrix: LazyTensor;
  /** [factors] */
  readonly base: LazyTensor;
  /** [kinds of factors] */
  readonly scale: LazyTensor;
}

/**
 * Streams that every sublayer reads and changes all of (manifold-constrained hyper-connections, arXiv
 * 2512.24880), side by side in one as wide as all: [batch, sequence, count · hidden].
 */
export interface ConnectedStreams {
  readonly count: number;
  readonly rounds: number;
  readonly epsilon: number;
  /** Of what makes one stream of all behind the last block. */
  readonly head: Connection;
}

export const connectionTensors = (connection: Connection | undefined): LazyTensor[] =>
  connection === undefined ? [] : [connection.matrix, connection.base, connection.scale];

/** @param prefix of tensors outside the blocks */
export function findStreams(
  names: ConnectionNames | undefined,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): ConnectedStreams | undefined {
  if (names === undefined) {
    return undefined;
  }
  const count = names.count(config);
  return {
    count,
    rounds: names.rounds(config),
    epsilon: names.epsilon(config),
    head: findThree(tensors, `${prefix}${names.head}`, [count, count * config.hidden_size], 1),
  };
}

/** What connects a part of a block, whose tensors begin with `prefix`, with several streams. */
export function findConnection(
  { connections: names }: { readonly connections?: ConnectionNames },
  part: PartKind,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): Connection | undefined {
  if (names === undefined) {
    return undefined;
  }
  const count = names.count(config);
  const branch = part === 'attention' ? 'attention' : 'feedforward';
  const factors = count * (count + 2);
  const shape = [factors, count * config.hidden_size] as const;
  return findThree(tensors, `${prefix}${names[branch]}`, shape, 3);
}

const findThree = (
  tensors: TensorFinder,
  name: string,
  [factors, width]: readonly [factors: number, width: number],
  kinds: number,
): Connection => ({
  matrix: tensors.take(`${name}fn`, [factors, width]),
  base: tensors.take(`${name}base`, [factors]),
  scale: tensors.take(`${name}scale`, [kinds]),
});

/** Emits `count` streams that are all x [batch, sequence, hidden]. */
export const emitSpread = (graph: GraphBuilder, { count }: ConnectedStreams, x: Value): Value =>
  graph.op(
    'Concat',
    Array.from({ length: count }, () => x),
    { axis: -1 },
  );

/** Emits streams as rows [rows, count, hidden]. */
const emitStacked = (graph: GraphBuilder, count: number, streams: Value, hidden: number): Value =>
  graph.op('Reshape', [streams, graph.ints([-1, count, hidden])]);

/** Width of one stream. */
const hiddenIn = ({ matrix }: Connection, count: number): number => (matrix.shape[1] ?? 0) / count;

/** Emits matrix · norm(streams): [rows, factors]. */
function emitFactors(
  graph: GraphBuilder,
  style: NormStyle,
  { matrix }: Connection,
  streams: Value,
): Value {
  const [, width = 0] = matrix.shape;
  const rows = graph.op('Reshape', [streams, graph.ints([-1, width])]);
  const normed = emitNorm(graph, { ...style, kind: 'rms' }, rows, {});
  return graph.op('Gemm', [normed, emitWeight(graph, matrix)], { transB: 1 });
}

/** Emits Σ factor · stream, factors [rows, count]: [batch, sequence, hidden]. */
function emitSum(graph: GraphBuilder, factors: Value, stacked: Value, like: Value): Value {
  const row = graph.op('Unsqueeze', [factors, graph.ints([1])]);
  const places = graph.op('Slice', [graph.op('Shape', [like]), graph.ints([0]), graph.ints([2])]);
  const size = graph.op('Concat', [places, graph.ints([-1])], { axis: 0 });
  return graph.op('Reshape', [graph.op('MatMul', [row, stacked]), size]);
}

/** Emits the streams behind a branch f: stream j becomes Σᵢ mixᵢⱼ · streamᵢ + postⱼ · f(Σᵢ preᵢ · streamᵢ). */
export function emitConnected(
  graph: GraphBuilder,
  style: NormStyle,
  { count, rounds, epsilon }: ConnectedStreams,
  connection: Connection,
  streams: Value,
  branch: (input: Value) => Value,
): Value {
  const hidden = hiddenIn(connection, count);
  const sizes = graph.ints([count, count, count * count]);
  const split = (x: Value, axis: number): Value[] => graph.ops('Split', [x, sizes], 3, { axis });
  const products = split(emitFactors(graph, style, connection, streams), 1);
  const bases = split(emitWeight(graph, connection.base), 0);
  const scales = graph.ops(
    'Split',
    [emitWeight(graph, connection.scale), graph.ints([1, 1, 1])],
    3,
    { axis: 0 },
  );
  const [pre = '', post = '', mix = ''] = products.map((product, i) =>
    graph.op('Add', [graph.op('Mul', [product, scales[i] ?? '']), bases[i] ?? '']),
  );
  const stacked = emitStacked(graph, count, streams, hidden);
  const read = graph.op('Add', [graph.op('Sigmoid', [pre]), graph.scalar(epsilon)]);
  const given = graph.op('Reshape', [
    branch(emitSum(graph, read, stacked, streams)),
    graph.ints([-1, 1, hidden]),
  ]);
  const shares = graph.op('Unsqueeze', [
    graph.op('Mul', [graph.op('Sigmoid', [post]), graph.scalar(2)]),
    graph.ints([2]),
  ]);
  const matrix = emitDoublyStochastic(
    graph,
    graph.op('Reshape', [mix, graph.ints([-1, count, count])]),
    rounds,
    epsilon,
  );
  const mixed = graph.op('MatMul', [graph.op('Transpose', [matrix], { perm: [0, 2, 1] }), stacked]);
  const sum = graph.op('Add', [graph.op('Mul', [shares, given]), mixed]);
  return graph.op('Reshape', [sum, graph.op('Shape', [streams])]);
}

/** Emits matrices of positive numbers whose columns, and nearly rows, add up to 1 (Sinkhorn and Knopp), of logits. */
function emitDoublyStochastic(
  graph: GraphBuilder,
  logits: Value,
  rounds: number,
  epsilon: number,
): Value {
  const least = graph.scalar(epsilon);
  const divided = (x: Value, axis: number): Value => {
    const sum = graph.op('ReduceSum', [x, graph.ints([axis])], { keepdims: 1 });
    return graph.op('Div', [x, graph.op('Add', [sum, least])]);
  };
  const positive = graph.op('Add', [graph.op('Softmax', [logits], { axis: -1 }), least]);
  let matrix = divided(positive, 1);
  for (let round = 1; round < rounds; round++) {
    matrix = divided(divided(matrix, 2), 1);
  }
  return matrix;
}

/** Emits one stream of all, in front of the final norm: Σᵢ (σ(factorᵢ) + ε) · streamᵢ. */
export function emitJoined(
  graph: GraphBuilder,
  style: NormStyle,
  { count, epsilon, head }: ConnectedStreams,
  streams: Value,
): Value {
  const factors = graph.op('Add', [
    graph.op('Mul', [emitFactors(graph, style, head, streams), emitWeight(graph, head.scale)]),
    emitWeight(graph, head.base),
  ]);
  const read = graph.op('Add', [graph.op('Sigmoid', [factors]), graph.scalar(epsilon)]);
  const stacked = emitStacked(graph, count, streams, hiddenIn(head, count));
  return emitSum(graph, read, stacked, streams);
}
