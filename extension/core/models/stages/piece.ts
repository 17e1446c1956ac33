import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Message } from '../../message';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import type { Linear } from '../parts/linear';
import { say } from '../../message';

/** A linear layer and its role in the piece. */
export interface PieceLinear {
  readonly role: LinearRole;
  readonly linear: Linear;
}

/** A step of a model with one input and one output. */
export interface Piece {
  /** Display name, such as `Convolution 3 × 3`. */
  readonly label: Message;
  readonly tensors: readonly LazyTensor[];
  /** Tensors of the last layer. If they are zero, the output of the piece is zero. */
  readonly outputs?: readonly LazyTensor[];
  /** Linear layers that can be encoded. */
  readonly linears?: readonly PieceLinear[];
  /** Pieces that this one applies in order, if it is a sequence. */
  readonly pieces?: readonly Piece[];
  readonly emit: (graph: GraphBuilder, x: Value) => Value;
}

/** Runs pieces in sequence; undefined ones are skipped. */
export function chain(label: Message, ...all: readonly (Piece | undefined)[]): Piece {
  const pieces = all.filter((piece) => piece !== undefined);
  return {
    label,
    tensors: pieces.flatMap(({ tensors }) => tensors),
    linears: pieceLinears(pieces),
    outputs: pieces.findLast(({ outputs = [] }) => outputs.length > 0)?.outputs ?? [],
    pieces,
    emit: (graph, x) => pieces.reduce((value, piece) => emitPiece(graph, piece, value), x),
  };
}

/** Emits a piece as a step of the computation. Sequences emit one step per piece. */
export const emitPiece = (graph: GraphBuilder, piece: Piece, x: Value): Value =>
  piece.pieces === undefined
    ? graph.step(piece.label, () => piece.emit(graph, x))
    : piece.emit(graph, x);

/** The linear layers of several pieces. */
export const pieceLinears = (pieces: readonly Piece[]): readonly PieceLinear[] =>
  pieces.flatMap(({ linears = [] }) => linears);

/** Piece without weights. */
export function weightless(label: Message, emit: Piece['emit']): Piece {
  return { label, tensors: [], emit };
}

/** Residual sum x + f(x) with a branch that can't be removed. */
export function withShortcut(label: Message, shortcut: Piece | undefined, branch: Piece): Piece {
  return {
    label,
    tensors: [...(shortcut?.tensors ?? []), ...branch.tensors],
    linears: pieceLinears(shortcut === undefined ? [branch] : [shortcut, branch]),
    emit: (graph, x) => graph.op('Add', [shortcut?.emit(graph, x) ?? x, branch.emit(graph, x)]),
  };
}

/** Multi-head attention without a mask. */
interface StagedAttention {
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
