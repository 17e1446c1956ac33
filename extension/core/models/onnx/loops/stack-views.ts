import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import { operatorName } from '../graph-index';
import { intAttribute, intsAttribute } from '../node-attributes';
import { fromFront } from '../values/shape-rules';
import type { ValueShapes } from '../values/value-shapes';

/** Bytes of a stored weight that lie together in its file, as a tensor. */
export interface StackView {
  readonly stack: OnnxInitializer;
  /** In the stack, in bytes. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
  readonly dims: readonly number[];
}

/** The numbers of a vector stay where they are: they are few, and shapes may depend on them. */
const leastRank = 2;

/** What nodes cut out of stored weights along the first axis, by the names of their outputs. */
export function stackViews(
  nodes: readonly NodeProto[],
  initializers: OnnxFile['initializers'],
  shapes: ValueShapes,
): ReadonlyMap<string, StackView> {
  const views = new Map<string, StackView>();
  for (const node of nodes) {
    const [data = ''] = node.input;
    const view = views.get(data) ?? fullView(initializers.get(data));
    const cut = view === undefined ? undefined : cutBy(node, view, shapes);
    const [output] = node.output;
    if (cut !== undefined && output !== undefined) {
      views.set(output, cut);
    }
  }
  return views;
}

/** Undefined for weights that ONNX Runtime cannot read in parts. */
function fullView(stack: OnnxInitializer | undefined): StackView | undefined {
  return stack?.mappable === true && stack.dims.length >= leastRank
    ? { stack, offset: 0, length: stack.length, dims: stack.dims }
    : undefined;
}

function cutBy(node: NodeProto, view: StackView, shapes: ValueShapes): StackView | undefined {
  switch (operatorName(node)) {
    case 'Gather':
      return gathered(node, view, shapes);
    case 'Slice':
      return sliced(node, view, shapes);
    case 'Squeeze':
      return squeezed(node, view, shapes);
    default:
      return undefined;
  }
}

/** `count` rows from `first` on; undefined where they are not there or do not begin at a byte. */
function rowsOf(view: StackView, first: number, count: number): StackView | undefined {
  const [size = 0, ...others] = view.dims;
  const bytes = view.length / size;
  return first < 0 || count < 1 || first + count > size || !Number.isInteger(bytes)
    ? undefined
    : {
        ...view,
        offset: view.offset + first * bytes,
        length: count * bytes,
        dims: [count, ...others],
      };
}

/** One row, by an index without axes or with axes of size 1. */
function gathered(node: NodeProto, view: StackView, shapes: ValueShapes): StackView | undefined {
  const [, index = ''] = node.input;
  const [place, ...others] = shapes.contents(index) ?? [];
  const shape = shapes.of(index);
  const isFirst = fromFront(intAttribute(node, 'axis', 0), view.dims.length) === 0;
  if (!isFirst || typeof place !== 'number' || others.length > 0 || shape === undefined) {
    return undefined;
  }
  const row = rowsOf(view, fromFront(place, view.dims[0] ?? 0), 1);
  return row && { ...row, dims: [...shape.map(() => 1), ...view.dims.slice(1)] };
}

/** Some rows with all of the other axes. */
function sliced(node: NodeProto, view: StackView, shapes: ValueShapes): StackView | undefined {
  const numbers = (place: number): readonly number[] | undefined => {
    const found = shapes.contents(node.input[place] ?? '');
    const known = found?.filter((one) => typeof one === 'number');
    return known?.length === found?.length ? known : undefined;
  };
  const [starts, ends] = [numbers(1), numbers(2)];
  const axes = node.input.length > 3 ? numbers(3) : starts?.map((_, axis) => axis);
  const steps = node.input.length > 4 ? numbers(4) : starts?.map(() => 1);
  if (starts === undefined || ends === undefined) {
    return undefined;
  }
  let rows: StackView | undefined = view;
  for (const [place, given] of (axes ?? []).entries()) {
    const axis = fromFront(given, view.dims.length);
    const size = view.dims[axis] ?? 0;
    const inside = (index = 0): number => Math.min(Math.max(fromFront(index, size), 0), size);
    const [start, end] = [inside(starts[place]), inside(ends[place])];
    if (steps?.[place] !== 1 || (axis !== 0 && end - start !== size)) {
      return undefined;
    }
    rows = axis === 0 ? rowsOf(view, start, end - start) : rows;
  }
  return axes === undefined ? undefined : rows;
}

/** Without a first axis of size 1. */
function squeezed(node: NodeProto, view: StackView, shapes: ValueShapes): StackView | undefined {
  const axes = intsAttribute(node, 'axes') ?? shapes.contents(node.input[1] ?? '');
  const [axis, ...others] = axes ?? [];
  const isFirst = typeof axis === 'number' && fromFront(axis, view.dims.length) === 0;
  return isFirst && others.length === 0 && view.dims[0] === 1
    ? { ...view, dims: view.dims.slice(1) }
    : undefined;
}
