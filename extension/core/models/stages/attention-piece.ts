import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import { pieceLinears } from './piece';
import type { Piece, PieceLinear } from './piece';
import { say } from '../../message';

/** Multi-head attention without a mask. */
export interface StagedAttention {
  readonly heads: number;
  /** Width of the stream. */
  readonly width: number;
  readonly query: Piece;
  readonly key: Piece;
  readonly value: Piece;
  readonly output: Piece;
  /** Computes the input of the key and value projections from the stream; default: the stream itself. */
  readonly source?: Piece | undefined;
  /** Transforms queries and keys [batch, heads, positions, headDim]. It replaces the division of scores by √headDim. */
  readonly turn?: Piece;
  /** Scales the scores [batch, heads, queries, keys] and adds biases to them. */
  readonly scores?: {
    readonly tensors: readonly LazyTensor[];
    readonly emit: (graph: GraphBuilder, scores: Value) => Value;
  };
}

const linearsInRole = (role: LinearRole, piece: Piece): readonly PieceLinear[] =>
  pieceLinears([piece]).map(({ linear }) => ({ role, linear }));

/** Attention over a stream [batch, ..., width]. All axes between the first and last are positions. */
export function attention(form: StagedAttention): Piece {
  const { heads, width, query, key, value, output, source, turn, scores } = form;
  const head = width / heads;
  const pieces = [query, key, value, ...(source === undefined ? [] : [source]), output];
  return {
    label: say`Attention, ${heads} heads × ${head}`,
    tensors: [...pieces.flatMap(({ tensors }) => tensors), ...(scores?.tensors ?? [])],
    linears: [
      ...linearsInRole('query', query),
      ...linearsInRole('key', key),
      ...linearsInRole('value', value),
      ...linearsInRole('output', output),
    ],
    outputs: output.outputs ?? [],
    emit: (graph, x) => {
      const flat = (y: Value): Value => graph.op('Reshape', [y, graph.ints([0, -1, width])]);
      const split = (y: Value): Value =>
        graph.op('Transpose', [graph.op('Reshape', [y, graph.ints([0, 0, heads, head])])], {
          perm: [0, 2, 1, 3],
        });
      const from = flat(source?.emit(graph, x) ?? x);
      const scaleOrTransform = (y: Value): Value =>
        turn?.emit(graph, y) ?? graph.op('Mul', [y, graph.scalar(head ** -0.25)]);
      const q = scaleOrTransform(split(query.emit(graph, flat(x))));
      const k = scaleOrTransform(split(key.emit(graph, from)));
      const v = split(value.emit(graph, from));
      const products = graph.op('MatMul', [q, graph.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
      const all = scores?.emit(graph, products) ?? products;
      const seen = graph.op('MatMul', [graph.op('Softmax', [all], { axis: -1 }), v]);
      const joined = flat(graph.op('Transpose', [seen], { perm: [0, 2, 1, 3] }));
      return graph.op('Reshape', [output.emit(graph, joined), graph.op('Shape', [x])]);
    },
  };
}
