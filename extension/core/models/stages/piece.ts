import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Message } from '../../message';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import type { Linear } from '../parts/linear';

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
