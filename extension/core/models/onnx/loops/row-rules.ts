import type { Attribute } from '../../../onnx/messages';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import { intAttribute, intsAttribute, operatorName } from '../graph-index';
import { fromFront } from '../values/shape-rules';
import type { ValueShapes } from '../values/value-shapes';

/** Input of a row rule. */
export interface RowQuery {
  readonly node: NodeProto;
  /** Wanted rows of the first output, which has shape `result`. */
  readonly rows: Rows;
  readonly result: readonly number[];
  readonly dims: (value: string) => readonly number[] | undefined;
  /** Returns a value with rows of an input; undefined if they can't be separated. */
  readonly findRows: (value: string, rows: Rows) => string | undefined;
  /** Returns a copy of a stored weight under its own name, or the value itself. */
  readonly copyOf: (value: string) => string;
  /** Emits the node with other inputs. `dims` is the shape of its output. */
  readonly make: (
    inputs: readonly string[],
    dims: readonly number[],
    changes?: Readonly<Record<string, Attribute>>,
  ) => string;
  /** Reshapes a value. */
  readonly reshaped: (value: string, dims: readonly number[]) => string;
}

/** Computes rows of the first output of a node from rows of its inputs; undefined if it needs other rows. */
export type RowRule = (query: RowQuery) => string | undefined;

type Values = readonly (string | undefined)[];

function all(values: Values): readonly string[] | undefined {
  const found = values.filter((value) => value !== undefined);
  return found.length === values.length ? found : undefined;
}

/** Index of an axis after `rows` are taken. */
function moved(axis: number, rows: Rows): number {
  return rows.dropped && axis > rows.axis ? axis - 1 : axis;
}

/** Returns rows of an input that is broadcast to the shape of the result. */
function broadcastRows(
  { rows, result, dims, findRows }: RowQuery,
  input: string,
): string | undefined {
  const sizes = input === '' ? [] : dims(input);
  if (sizes === undefined) {
    return undefined;
  }
  const axis = rows.axis - result.length + sizes.length;
  if (axis < 0) {
    return input;
  }
  const isSpread = sizes[axis] === 1 && result[rows.axis] !== 1;
  if (isSpread && !rows.dropped) {
    return input;
  }
  return findRows(input, isSpread ? { ...rows, axis, first: 0 } : { ...rows, axis });
}

const elementwise: RowRule = (query) => {
  const { node, rows, result, make } = query;
  const inputs = all(node.input.map((input) => broadcastRows(query, input)));
  return inputs && make(inputs, rowSizes(result, rows));
};

const transposed: RowRule = ({ node, rows, result, findRows, make }) => {
  const order = intsAttribute(node, 'perm') ?? result.map((_, axis) => axis).reverse();
  const axis = order[rows.axis] ?? 0;
  const inner = { ...rows, axis };
  const input = findRows(node.input[0] ?? '', inner);
  const perm = order
    .filter((from) => !rows.dropped || from !== axis)
    .map((from) => moved(from, inner));
  if (input === undefined || perm.every((from, to) => from === to)) {
    return input;
  }
  return make([input], rowSizes(result, rows), { perm });
};

const reshaped: RowRule = ({
  node: {
    input: [data = ''],
  },
  rows,
  result,
  dims,
  findRows,
  ...query
}) => {
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  const from = dims(data);
  const size = result[rows.axis] ?? 0;
  const before = product(result.slice(0, rows.axis));
  // The axis with the size of the wanted axis, or a multiple of it.
  const axis = from?.findIndex(
    (one, i) => product(from.slice(0, i)) === before && one % size === 0 && (one > 1 || size === 1),
  );
  if (from === undefined || axis === undefined || axis < 0) {
    return undefined;
  }
  const each = (from[axis] ?? 0) / size;
  const dropped = rows.dropped && each === 1;
  const inner = { axis, first: rows.first * each, count: rows.count * each, dropped };
  const value = findRows(data, inner);
  return value === undefined ? undefined : query.reshaped(value, rowSizes(result, rows));
};

const dequantized: RowRule = ({ node, rows, result, dims, findRows, copyOf, make }) => {
  const [data = '', ...scaling] = node.input;
  const axis = fromFront(intAttribute(node, 'axis', 1), result.length);
  const size = intAttribute(node, 'block_size', 0);
  if (size > 1 && axis === rows.axis) {
    return undefined;
  }
  const beside = scaling.map((input, place) => {
    const sizes = input === '' ? [] : dims(input);
    if (sizes === undefined) {
      return undefined;
    }
    const isOne = sizes.every((one) => one === 1) && sizes.length < 2;
    if (isOne || (size === 0 && axis !== rows.axis)) {
      // ONNX Runtime converts int8 to uint8 once per node, and fails if two nodes share a zero point.
      return place === 0 ? input : copyOf(input);
    }
    return findRows(input, size === 0 ? { ...rows, axis: 0 } : rows);
  });
  const inputs = all([findRows(data, rows), ...beside]);
  const isGone = rows.dropped && axis === rows.axis;
  return inputs && make(inputs, rowSizes(result, rows), { axis: isGone ? 0 : moved(axis, rows) });
};

const joined: RowRule = ({ node, rows, result, dims, findRows, make }) => {
  const axis = fromFront(intAttribute(node, 'axis', 0), result.length);
  if (axis !== rows.axis) {
    const inputs = all(node.input.map((input) => findRows(input, rows)));
    return inputs && make(inputs, rowSizes(result, rows), { axis: moved(axis, rows) });
  }
  let start = 0;
  for (const input of node.input) {
    const size = dims(input)?.[axis];
    if (size === undefined) {
      return undefined;
    }
    if (rows.first >= start && rows.first + rows.count <= start + size) {
      return findRows(input, { ...rows, first: rows.first - start });
    }
    start += size;
  }
  return undefined;
};

const rules = (names: string, rule: RowRule): Record<string, RowRule> =>
  Object.fromEntries(names.split(' ').map((name) => [name, rule]));

/** Operators that lay the numbers of their first input out in other sizes. */
export const layouts: ReadonlySet<string> = new Set(
  'Identity Reshape Squeeze Unsqueeze Flatten'.split(' '),
);

/** Rules for operators whose output rows depend on only some rows of their inputs. */
export const rowRules: Readonly<Record<string, RowRule>> = {
  ...rules('Cast Neg Abs Exp Sqrt Reciprocal Tanh Sigmoid Round Floor Clip', elementwise),
  ...rules('Add Sub Mul Div Pow Where', elementwise),
  ...rules([...layouts].join(' '), reshaped),
  ...rules('DequantizeLinear com.microsoft:DequantizeLinear', dequantized),
  Transpose: transposed,
  Concat: joined,
};

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
