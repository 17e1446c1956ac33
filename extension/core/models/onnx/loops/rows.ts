import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import { operatorName, intAttribute, intsAttribute } from '../graph-index';
import { fromFront } from '../values/shape-rules';
import type { ValueShapes } from '../values/value-shapes';

/** A range of indices along an axis. */
export interface Rows {
  readonly axis: number;
  readonly first: number;
  readonly count: number;
  /** True if the range has one index and the axis is removed. */
  readonly dropped: boolean;
}

/** Shape of a value restricted to `rows`. */
export function rowSizes(dims: readonly number[], { axis, count, dropped }: Rows): number[] {
  return dims.flatMap((size, i) => (i === axis ? (dropped ? [] : [count]) : [size]));
}

/** Range that a node takes from a value of shape `dims` along one axis; undefined if it does more or the range is unknown. */
export function findRows(
  node: NodeProto,
  dims: readonly number[],
  shapes: ValueShapes,
): Rows | undefined {
  switch (operatorName(node)) {
    case 'Gather':
      return gathered(node, dims, shapes);
    case 'Slice':
      return sliced(node, dims, shapes);
    case 'Squeeze':
      return squeezed(node, dims, shapes);
    default:
      return undefined;
  }
}

/** Single index, given as a scalar or with an axis of size 1. */
function gathered(node: NodeProto, dims: readonly number[], shapes: ValueShapes): Rows | undefined {
  const [, index = ''] = node.input;
  const [place, ...others] = shapes.contents(index) ?? [];
  const rank = shapes.of(index)?.length;
  if (typeof place !== 'number' || others.length > 0 || rank === undefined || rank > 1) {
    return undefined;
  }
  const axis = fromFront(intAttribute(node, 'axis', 0), dims.length);
  return { axis, first: fromFront(place, dims[axis] ?? 0), count: 1, dropped: rank === 0 };
}

/** Contiguous range of a Slice that keeps all other axes. */
function sliced(node: NodeProto, dims: readonly number[], shapes: ValueShapes): Rows | undefined {
  const numbers = (place: number): readonly number[] | undefined => {
    const found = shapes.contents(node.input[place] ?? '');
    const known = found?.filter((one) => typeof one === 'number');
    return known?.length === found?.length ? known : undefined;
  };
  const [starts, ends] = [numbers(1), numbers(2)];
  const axes = node.input.length > 3 ? numbers(3) : starts?.map((_, axis) => axis);
  const steps = node.input.length > 4 ? numbers(4) : starts?.map(() => 1);
  if (starts === undefined || ends === undefined || axes === undefined) {
    return undefined;
  }
  const cuts = axes.map((given, place) => {
    const axis = fromFront(given, dims.length);
    const size = dims[axis] ?? 0;
    const inside = (index = 0): number => Math.min(Math.max(fromFront(index, size), 0), size);
    const [first, end] = [inside(starts[place]), inside(ends[place])];
    return { axis, first, count: end - first, dropped: false };
  });
  const [whole] = cuts;
  const [only = whole, ...others] = cuts.filter(({ axis, count }) => count !== dims[axis]);
  return others.length > 0 || steps?.some((step) => step !== 1) !== false ? undefined : only;
}

/** Removes an axis of size 1. */
function squeezed(node: NodeProto, dims: readonly number[], shapes: ValueShapes): Rows | undefined {
  const axes = intsAttribute(node, 'axes') ?? shapes.contents(node.input[1] ?? '');
  const [given, ...others] = axes ?? [];
  const axis = typeof given === 'number' ? fromFront(given, dims.length) : -1;
  return dims[axis] === 1 && others.length === 0
    ? { axis, first: 0, count: 1, dropped: true }
    : undefined;
}
