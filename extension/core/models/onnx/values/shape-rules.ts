import type { Dimension } from '../../../onnx/graph-builder';
import { intAttribute, intsAttribute, stringAttribute, tensorAttribute } from '../graph-index';
import { convolutionShape, globalPoolShape, poolShape } from './window-shapes';
import type { ShapeQuery, Shape } from './shape-query';

/** Returns the known shapes of the outputs. */
export type ShapeRule = (query: ShapeQuery) => readonly (Shape | undefined)[];

/** Counts a possibly negative axis from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** The shape of values of these shapes after broadcasting. */
function broadcast(shapes: readonly Shape[], fresh: () => string): Shape {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    const others = [...new Set(sizes.filter((size) => size !== 1))];
    const [first = 1] = others;
    const number = others.find((size) => typeof size === 'number');
    return others.length < 2 ? first : (number ?? fresh());
  });
}

const same: ShapeRule = ({ shape }) => [shape(0), shape(0)];

const broadcasting: ShapeRule = ({ node, shape, fresh }) => {
  const shapes = node.input.map((_, place) => shape(place));
  const known = shapes.filter((one) => one !== undefined);
  return known.length === shapes.length ? [broadcast(known, fresh)] : [];
};

/** Axes from the attribute, or from the input that newer opsets have. */
function readAxes({ node, contents }: ShapeQuery): readonly Dimension[] | undefined {
  return intsAttribute(node, 'axes') ?? contents(1);
}

const reduction: ShapeRule = (query) => {
  const { node, shape } = query;
  const input = shape(0);
  if (input === undefined) {
    return [];
  }
  const given = readAxes(query);
  const keep = intAttribute(node, 'keepdims', 1) === 1;
  if (given === undefined && (node.input[1] ?? '') !== '') {
    return keep ? [input.map(() => query.fresh())] : [];
  }
  const none = given === undefined || given.length === 0;
  if (none && intAttribute(node, 'noop_with_empty_axes', 0) === 1) {
    return [input];
  }
  const axes = new Set(
    none ? input.keys() : given.map((axis) => fromFront(Number(axis), input.length)),
  );
  return [
    keep
      ? input.map((size, axis) => (axes.has(axis) ? 1 : size))
      : input.filter((_, axis) => !axes.has(axis)),
  ];
};

const layerNorm: ShapeRule = ({ node, shape }) => {
  const input = shape(0);
  const axis = fromFront(intAttribute(node, 'axis', -1), input?.length ?? 0);
  const statistics = input?.map((size, i) => (i < axis ? size : 1));
  return [input, statistics, statistics];
};

function matMul({ shape, fresh }: ShapeQuery): readonly (Shape | undefined)[] {
  const [a, b] = [shape(0), shape(1)];
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) {
    return [];
  }
  const rows = a.length > 1 ? a.slice(-2, -1) : [];
  const columns = b.length > 1 ? b.slice(-1) : [];
  return [[...broadcast([a.slice(0, -2), b.slice(0, -2)], fresh), ...rows, ...columns]];
}

function gemm({ node, shape }: ShapeQuery): readonly (Shape | undefined)[] {
  const rows = shape(0)?.[intAttribute(node, 'transA', 0)];
  const columns = shape(1)?.[1 - intAttribute(node, 'transB', 0)];
  return rows === undefined || columns === undefined ? [] : [[rows, columns]];
}

function reshape({ node, shape, contents, fresh }: ShapeQuery): readonly (Shape | undefined)[] {
  const [input, target] = [shape(0), contents(1)];
  const [length] = shape(1) ?? [];
  if (target === undefined) {
    return typeof length === 'number' ? [Array.from({ length }, fresh)] : [];
  }
  const zeroCopies = intAttribute(node, 'allowzero', 0) === 0;
  const sizes = target.map((size, axis) =>
    size === 0 && zeroCopies ? (input?.[axis] ?? fresh()) : size,
  );
  return [
    sizes.map((size, axis) => (size === -1 ? inferredSize(input, sizes, axis, fresh) : size)),
  ];
}

/** Size of the −1 axis of a Reshape. */
function inferredSize(
  input: Shape | undefined,
  sizes: Shape,
  axis: number,
  fresh: () => string,
): Dimension {
  const left = [...(input ?? ['?'])];
  let factor = 1;
  for (const size of sizes.filter((_, i) => i !== axis)) {
    const place = left.indexOf(size);
    if (place >= 0) {
      left.splice(place, 1);
    } else if (typeof size === 'number') {
      factor *= size;
    } else {
      return fresh();
    }
  }
  const names = left.filter((size) => typeof size === 'string');
  const product = left.reduce<number>(
    (all, size) => all * (typeof size === 'number' ? size : 1),
    1,
  );
  if (names.length === 0) {
    return product % factor === 0 ? product / factor : fresh();
  }
  return !names.includes('?') && product === factor ? names.toSorted().join('·') : fresh();
}

function slice(query: ShapeQuery): readonly (Shape | undefined)[] {
  const { node, shape, contents, fresh } = query;
  const input = shape(0);
  if (input === undefined) {
    return [];
  }
  const [starts, ends] = [contents(1), contents(2)];
  const axes = (node.input[3] ?? '') === '' ? starts?.map((_, i) => i) : contents(3);
  if (axes === undefined) {
    return [input.map(fresh)];
  }
  const steps = (node.input[4] ?? '') === '' ? axes.map(() => 1) : contents(4);
  const sizes: Dimension[] = [...input];
  axes.forEach((given, i) => {
    const axis = fromFront(Number(given), input.length);
    const [size, start, end, step] = [input[axis], starts?.[i], ends?.[i], steps?.[i]];
    const known = [size, start, end, step].every((value) => typeof value === 'number');
    sizes[axis] = known
      ? slicedSize(Number(size), Number(start), Number(end), Number(step))
      : fresh();
  });
  return [sizes];
}

function slicedSize(size: number, start: number, end: number, step: number): number {
  const clamp = (value: number): number => {
    const place = value < 0 ? value + size : value;
    return step > 0 ? Math.min(Math.max(place, 0), size) : Math.min(Math.max(place, -1), size - 1);
  };
  return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step));
}

function concat({ node, shape, fresh }: ShapeQuery): readonly (Shape | undefined)[] {
  const parts = node.input.map((_, place) => shape(place));
  const known = parts.filter((part) => part !== undefined);
  const [first] = known;
  if (first === undefined) {
    return [];
  }
  const axis = fromFront(intAttribute(node, 'axis', 0), first.length);
  const sizes = known.map((part) => part[axis]);
  const total =
    known.length === parts.length && sizes.every((size) => typeof size === 'number')
      ? sizes.reduce<number>((sum, size) => sum + size, 0)
      : fresh();
  return [first.map((size, i) => (i === axis ? total : size))];
}

function split({ node, shape, contents, fresh }: ShapeQuery): readonly (Shape | undefined)[] {
  const input = shape(0);
  if (input === undefined) {
    return [];
  }
  const axis = fromFront(intAttribute(node, 'axis', 0), input.length);
  const sizes = intsAttribute(node, 'split') ?? contents(1);
  const [whole, count] = [input[axis], node.output.length];
  const given = (node.input[1] ?? '') !== '';
  const part = typeof whole === 'number' && !given ? Math.ceil(whole / count) : undefined;
  return node.output.map((_, place) => {
    const last = part !== undefined && place === count - 1;
    const even = last ? Number(whole) - part * (count - 1) : part;
    return input.map((size, i) => (i === axis ? (sizes?.[place] ?? even ?? fresh()) : size));
  });
}

function einsum({ node, shape, fresh }: ShapeQuery): readonly (Shape | undefined)[] {
  const [left = '', right] = stringAttribute(node, 'equation', '').replaceAll(' ', '').split('->');
  if (right === undefined || left.includes('.')) {
    return [];
  }
  const sizes = new Map<string, Dimension>();
  left.split(',').forEach((labels, place) => {
    Array.from(labels).forEach((label, axis) => {
      const size = shape(place)?.[axis];
      if (size !== undefined && (!sizes.has(label) || sizes.get(label) === 1)) {
        sizes.set(label, size);
      }
    });
  });
  return [Array.from(right, (label) => sizes.get(label) ?? fresh())];
}

const transpose: ShapeRule = ({ node, shape }) => {
  const input = shape(0);
  const order = intsAttribute(node, 'perm') ?? input?.map((_, axis) => axis).reverse();
  return [input === undefined ? undefined : order?.map((axis) => input[axis] ?? 1)];
};

const squeeze: ShapeRule = (query) => {
  const input = query.shape(0);
  const given = readAxes(query);
  if (input === undefined || (given === undefined && input.some((size) => size !== 1))) {
    return [];
  }
  const axes = new Set(given?.map((axis) => fromFront(Number(axis), input.length)));
  return [given === undefined ? [] : input.filter((_, axis) => !axes.has(axis))];
};

const unsqueeze: ShapeRule = (query) => {
  const [input, given] = [query.shape(0), readAxes(query)];
  if (input === undefined || given === undefined) {
    return [];
  }
  const rank = input.length + given.length;
  const axes = new Set(given.map((axis) => fromFront(Number(axis), rank)));
  const rest = [...input];
  return [Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : (rest.shift() ?? 1)))];
};

const flatten: ShapeRule = ({ node, shape, fresh }) => {
  const input = shape(0);
  if (input === undefined) {
    return [];
  }
  const axis = fromFront(intAttribute(node, 'axis', 1), input.length);
  const product = (sizes: Shape): Dimension => {
    const names = sizes.filter((size) => typeof size === 'string');
    const number = sizes.reduce<number>(
      (all, size) => all * (typeof size === 'number' ? size : 1),
      1,
    );
    const [only = fresh()] = names;
    return names.length === 0 ? number : names.length === 1 && number === 1 ? only : fresh();
  };
  return [[product(input.slice(0, axis)), product(input.slice(axis))]];
};

const gather: ShapeRule = ({ node, shape }) => {
  const [data, indices] = [shape(0), shape(1)];
  if (data === undefined || indices === undefined) {
    return [];
  }
  const axis = fromFront(intAttribute(node, 'axis', 0), data.length);
  return [[...data.slice(0, axis), ...indices, ...data.slice(axis + 1)]];
};

const expand: ShapeRule = ({ shape, contents, fresh }) => {
  const [input, target] = [shape(0), contents(1)];
  const [length] = shape(1) ?? [];
  if (input === undefined || target === undefined) {
    const rank = Math.max(input?.length ?? 0, typeof length === 'number' ? length : 0);
    return input === undefined || typeof length !== 'number'
      ? []
      : [Array.from({ length: rank }, fresh)];
  }
  return [broadcast([input, target], fresh)];
};

const shapeFromContents: ShapeRule = ({ shape, contents, fresh }) => {
  const [length] = shape(0) ?? [];
  const known = contents(0);
  return [known ?? (typeof length === 'number' ? Array.from({ length }, fresh) : undefined)];
};

const anySizes: ShapeRule = ({ shape, fresh }) => [shape(0)?.map(fresh)];

const rules = (names: string, rule: ShapeRule): Record<string, ShapeRule> =>
  Object.fromEntries(names.split(' ').map((name) => [name, rule]));

/** Shapes by operator; operators that are not here leave their outputs' shapes open. */
export const shapeRules: Readonly<Record<string, ShapeRule>> = {
  ...rules(
    'Neg Abs Reciprocal Sqrt Exp Log Erf Tanh Sigmoid Relu Gelu LeakyRelu Elu Softplus HardSigmoid ' +
      'HardSwish Cos Sin Sign Floor Ceil Round Identity Cast Softmax LogSoftmax Clip Trilu Not CumSum ' +
      'Dropout IsNaN IsInf QuantizeLinear DequantizeLinear RotaryEmbedding ScatterND ScatterElements ' +
      'InstanceNormalization',
    same,
  ),
  ...rules(
    'Add Sub Mul Div Pow Min Max Sum Mean Where Equal Less LessOrEqual Greater GreaterOrEqual And Or ' +
      'Xor Mod PRelu BitShift',
    broadcasting,
  ),
  ...rules(
    'ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceSumSquare ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp',
    reduction,
  ),
  ...rules('Pad Tile', anySizes),
  BatchNormalization: ({ shape }) => [shape(0), shape(3), shape(4)],
  ...rules('LayerNormalization SimplifiedLayerNormalization RMSNormalization', layerNorm),
  ...rules(
    'com.microsoft:SkipLayerNormalization com.microsoft:SkipSimplifiedLayerNormalization',
    ({ shape }) => [shape(0), undefined, undefined, shape(0)],
  ),
  // Shape of the queries with the head size of the values; rows of heads are repeated according to the attributes.
  Attention: ({ node, shape }) => {
    const [queries, size] = [shape(0), shape(2)?.at(-1)];
    const [heads, groups] = ['q_num_heads', 'kv_num_heads'].map((name) =>
      intAttribute(node, name, 0),
    );
    const width = queries?.length === 4 ? size : (Number(size) / Number(groups)) * Number(heads);
    return width === undefined || Number.isNaN(width)
      ? []
      : [queries && [...queries.slice(0, -1), width]];
  },
  // Unpacked queries have the width of the output. Packed ones include keys and values.
  'com.microsoft:GroupQueryAttention': ({ node, shape }) => {
    const queries = shape(0);
    const [heads, groups] = [
      intAttribute(node, 'num_heads', 0),
      intAttribute(node, 'kv_num_heads', 0),
    ];
    const all = (node.input[1] ?? '') === '' ? heads + 2 * groups : heads;
    const width = (Number(queries?.at(-1)) / all) * heads;
    return Number.isInteger(width) ? [queries && [...queries.slice(0, -1), width]] : [];
  },
  'com.microsoft:MatMulNBits': ({ node, shape }) => {
    const rows = shape(0);
    return [rows && [...rows.slice(0, -1), intAttribute(node, 'N', 0)]];
  },
  'com.microsoft:EmbedLayerNormalization': ({ shape }) => {
    const [rows, width] = [shape(0), shape(2)?.[1]];
    const made = rows === undefined || width === undefined ? undefined : [...rows, width];
    return [made, undefined, made];
  },
  ...rules(
    'com.microsoft:Gelu com.microsoft:BiasGelu com.microsoft:FastGelu com.microsoft:QuickGelu ' +
      'com.microsoft:RotaryEmbedding',
    same,
  ),
  MatMul: matMul,
  Gemm: gemm,
  Conv: convolutionShape,
  MaxPool: poolShape,
  AveragePool: poolShape,
  GlobalAveragePool: globalPoolShape,
  GlobalMaxPool: globalPoolShape,
  Reshape: reshape,
  Slice: slice,
  Concat: concat,
  Split: split,
  Einsum: einsum,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Flatten: flatten,
  Gather: gather,
  GatherElements: ({ shape }) => [shape(1)],
  Expand: expand,
  ConstantOfShape: shapeFromContents,
  Constant: ({ node }) => [tensorAttribute(node, 'value')?.dims.map(Number)],
  Shape: ({ node, shape }) => {
    const end = intAttribute(node, 'end', Number.MAX_SAFE_INTEGER);
    const sizes = shape(0)?.slice(intAttribute(node, 'start', 0), end);
    return [sizes === undefined ? undefined : [sizes.length]];
  },
  Size: () => [[]],
  Range: ({ fresh }) => [[fresh()]],
};
