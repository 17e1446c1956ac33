import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import { linearsOf } from './piece';
import type { Piece, PieceLinear } from './piece';
import { say } from '../../message';

/** Attention of some positions to others, without a mask. */
export interface StagedAttention {
  readonly heads: number;
  /** Width of the stream. */
  readonly width: number;
  readonly query: Piece;
  readonly key: Piece;
  readonly value: Piece;
  readonly output: Piece;
  /** What keys and values are made of, from the stream; the stream itself when absent. */
  readonly source?: Piece | undefined;
  /** What is done to queries and keys [batch, heads, positions, head] instead of dividing scores by √head. */
  readonly turn?: Piece;
  /** Factors on scores, and what they gain: values that [batch, heads, queries, keys] can be joined with. */
  readonly scores?: {
    readonly tensors: readonly LazyTensor[];
    readonly emit: (graph: GraphBuilder, scores: Value) => Value;
  };
}

const inRole = (role: LinearRole, piece: Piece): readonly PieceLinear[] =>
  linearsOf([piece]).map(({ linear }) => ({ role, linear }));

/** Over a stream [batch, ..., width], whose axes in between are positions. */
export function attention(form: StagedAttention): Piece {
  const { heads, width, query, key, value, output, source, turn, scores } = form;
  const head = width / heads;
  const pieces = [query, key, value, ...(source === undefined ? [] : [source]), output];
  return {
    label: say`Attention, ${heads} heads × ${head}`,
    tensors: [...pieces.flatMap(({ tensors }) => tensors), ...(scores?.tensors ?? [])],
    linears: [
      ...inRole('query', query),
      ...inRole('key', key),
      ...inRole('value', value),
      ...inRole('output', output),
    ],
    outputs: output.outputs ?? [],
    emit: (graph, x) => {
      const flat = (y: Value): Value => graph.op('Reshape', [y, graph.ints([0, -1, width])]);
      const split = (y: Value): Value =>
        graph.op('Transpose', [graph.op('Reshape', [y, graph.ints([0, 0, heads, head])])], {
          perm: [0, 2, 1, 3],
        });
      const from = flat(source?.emit(graph, x) ?? x);
      const turned = (y: Value): Value =>
        turn?.emit(graph, y) ?? graph.op('Mul', [y, graph.scalar(head ** -0.25)]);
      const q = turned(split(query.emit(graph, flat(x))));
      const k = turned(split(key.emit(graph, from)));
      const v = split(value.emit(graph, from));
      const products = graph.op('MatMul', [q, graph.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
      const all = scores?.emit(graph, products) ?? products;
      const seen = graph.op('MatMul', [graph.op('Softmax', [all], { axis: -1 }), v]);
      const joined = flat(graph.op('Transpose', [seen], { perm: [0, 2, 1, 3] }));
      return graph.op('Reshape', [output.emit(graph, joined), graph.op('Shape', [x])]);
    },
  };
}
