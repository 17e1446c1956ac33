import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Message } from '../../message';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import type { Linear } from '../parts/linear';

/** A linear layer that reads rows of the stream, and what it is for. */
export interface PieceLinear {
  readonly role: LinearRole;
  readonly linear: Linear;
}

/** What a step of a model computes of one value. */
export interface Piece {
  /** For people, such as `Convolution 3 × 3`. */
  readonly label: Message;
  readonly tensors: readonly LazyTensor[];
  /** The tensors that make what comes out: with zeros in them the piece gives zeros. */
  readonly outputs?: readonly LazyTensor[];
  /** The linear layers in it that can take another form. */
  readonly linears?: readonly PieceLinear[];
  /** What it consists of, in order, where that can be told. */
  readonly pieces?: readonly Piece[];
  readonly emit: (graph: GraphBuilder, x: Value) => Value;
}

/** The pieces one after the other; what is undefined is left out. */
export function chain(label: Message, ...all: readonly (Piece | undefined)[]): Piece {
  const pieces = all.filter((piece) => piece !== undefined);
  return {
    label,
    tensors: pieces.flatMap(({ tensors }) => tensors),
    linears: linearsOf(pieces),
    outputs: pieces.findLast(({ outputs = [] }) => outputs.length > 0)?.outputs ?? [],
    pieces,
    emit: (graph, x) => pieces.reduce((value, piece) => emitPiece(graph, piece, value), x),
  };
}

/** Emits a piece, which is a step of the computation unless it consists of others. */
export const emitPiece = (graph: GraphBuilder, piece: Piece, x: Value): Value =>
  piece.pieces === undefined
    ? graph.step(piece.label, () => piece.emit(graph, x))
    : piece.emit(graph, x);

/** The linear layers of several pieces. */
export const linearsOf = (pieces: readonly Piece[]): readonly PieceLinear[] =>
  pieces.flatMap(({ linears = [] }) => linears);

/** A piece without weights. */
export function plain(label: Message, emit: Piece['emit']): Piece {
  return { label, tensors: [], emit };
}

/** x + f(x), for a sum whose branch cannot go. */
export function added(label: Message, shortcut: Piece | undefined, branch: Piece): Piece {
  return {
    label,
    tensors: [...(shortcut?.tensors ?? []), ...branch.tensors],
    linears: linearsOf(shortcut === undefined ? [branch] : [shortcut, branch]),
    emit: (graph, x) => graph.op('Add', [shortcut?.emit(graph, x) ?? x, branch.emit(graph, x)]),
  };
}
