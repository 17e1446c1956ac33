import type { Dimension } from '../../../onnx/messages';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';

/** Shape of a tensor. Equal names are equal sizes; different names may also be equal. */
export type Shape = readonly Dimension[];

/** Input of the shape rule of a node. */
export interface ShapeQuery {
  readonly node: NodeProto;
  /** Shape of input `place`; undefined if the rank is unknown or the input is absent. */
  readonly shape: (place: number) => Shape | undefined;
  /** Elements of a short tensor of integers, or of a constant, in order. */
  readonly contents: (place: number) => readonly Dimension[] | undefined;
  /** True if input `place` is known to be floating-point. */
  readonly isFloat: (place: number) => boolean;
  /** A name that no other size has. */
  readonly fresh: () => string;
}
