import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { emitNorm } from '../norm';
import type { NormStyle } from '../norm';
import { emitWeight } from '../weight';
import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { PartKind } from '../../transformer/architecture';
import type { ConnectionNames } from '../../transformer/block-end-names';
import type { ModelConfig } from '../../transformer/model-config';
import type { TensorFinder } from '../../transformer/tensor-finder';

/** Parameters of the stream coefficients matrix · norm(streams) · scale + base. */
export interface Connection {
  /** [factors, count · hidden] */
  readonly matrix: LazyTensor;
  /** [factors] */
  readonly base: LazyTensor;
  /** [number of factor kinds] */
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
  /** Coefficients that merge all streams after the last block. */
  readonly head: Connection;
}

export const connectionTensors = (connection: Connection | undefined): LazyTensor[] =>
  connection === undefined ? [] : [connection.matrix, connection.base, connection.scale];

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

/** Emits the streams after a branch f: stream j becomes Σᵢ mixᵢⱼ · streamᵢ + postⱼ · f(Σᵢ preᵢ · streamᵢ). */
export function emitConnected(
  graph: GraphBuilder,
  style: NormStyle,
  { count, rounds, epsilon }: ConnectedStreams,
  connection: Connection,
  streams: Value,
  branch: (input: Value) => Value,
): Value {
  const hidden = hiddenIn(connection, count);
  const { post, mix, stacked, read } = graph.step('read-streams', () => {
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
    const weights = graph.op('Add', [graph.op('Sigmoid', [pre]), graph.scalar(epsilon)]);
    return { post, mix, stacked, read: emitSum(graph, weights, stacked, streams) };
  });
  const out = branch(read);
  return graph.step('mix-streams', () => {
    const given = graph.op('Reshape', [out, graph.ints([-1, 1, hidden])]);
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
    const mixed = graph.op('MatMul', [
      graph.op('Transpose', [matrix], { perm: [0, 2, 1] }),
      stacked,
    ]);
    const sum = graph.op('Add', [graph.op('Mul', [shares, given]), mixed]);
    return graph.op('Reshape', [sum, graph.op('Shape', [streams])]);
  });
}

/** Emits positive matrices whose columns, and nearly rows, sum to 1, from logits (Sinkhorn and Knopp). */
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

/** Merges the streams before the final norm: Σᵢ (σ(factorᵢ) + ε) · streamᵢ. */
export function emitJoined(
  graph: GraphBuilder,
  style: NormStyle,
  { count, epsilon, head }: ConnectedStreams,
  streams: Value,
): Value {
  return graph.step('read-streams', () => {
    const factors = graph.op('Add', [
      graph.op('Mul', [emitFactors(graph, style, head, streams), emitWeight(graph, head.scale)]),
      emitWeight(graph, head.base),
    ]);
    const read = graph.op('Add', [graph.op('Sigmoid', [factors]), graph.scalar(epsilon)]);
    const stacked = emitStacked(graph, count, streams, hiddenIn(head, count));
    return emitSum(graph, read, stacked, streams);
  });
}

/**
 * Weights that connect several residual streams; undefined if the family has a single stream.
 * @param prefix of tensors outside the blocks
 */
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
    head: findThree(
      tensors,
      names,
      `${prefix}${names.head}`,
      [count, count * config.hidden_size],
      1,
    ),
  };
}

/** Finds the stream coefficients of a sublayer with tensor prefix `prefix`. */
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
  return findThree(tensors, names, `${prefix}${names[branch]}`, shape, 3);
}

const findThree = (
  tensors: TensorFinder,
  { ending = '' }: ConnectionNames,
  name: string,
  [factors, width]: readonly [factors: number, width: number],
  kinds: number,
): Connection => ({
  matrix: tensors.take(`${name}fn${ending}`, [factors, width]),
  base: tensors.take(`${name}base${ending}`, [factors]),
  scale: tensors.take(`${name}scale${ending}`, [kinds]),
});
