import type { Dimension } from '../../../onnx/messages';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';

/** Sizes of a tensor. A name stands for one size wherever it occurs; two names may be one size. */
export type Shape = readonly Dimension[];

/** What the rules of one node look at. */
export interface ShapeQuery {
  readonly node: NodeProto;
  /** Shape of input `place`; undefined where not even the rank is known, or the input is absent. */
  readonly shape: (place: number) => Shape | undefined;
  /** Elements of a short tensor of integers, or of a constant, in order. */
  readonly contents: (place: number) => readonly Dimension[] | undefined;
  /** True if the contents of input `place` are known to be floating-point numbers. */
  readonly isFloat: (place: number) => boolean;
  /** A name that no other size has. */
  readonly fresh: () => string;
}
