import type { Value } from '../../onnx/graph-builder';
import { intAttribute, stringAttribute } from '../../models/onnx/graph-index';
import { fromFront } from '../../models/onnx/values/shape-rules';
import type { NodeGradient, Rule } from './node-gradient';

/**
 * Gradient of gathering `indices` along `axis` of a tensor with `shape`: adds `gradient` to zeros at these indices.
 * Uses ScatterElements, because ScatterND adds from several threads without synchronization on ONNX Runtime's CPU
 * provider and loses terms (seen with 1.30 and 1.32).
 */
function scatterAlong(
  n: NodeGradient,
  gradient: Value,
  indices: Value,
  axis: number,
  shape: Value,
): Value {
  const { graph } = n;
  const part = (start: number, end: number): Value =>
    n.op('Slice', [shape, graph.ints([start]), graph.ints([end])]);
  const before = axis === 0 ? graph.ints([1]) : graph.reduce('ReduceProd', part(0, axis), [0], 1);
  const flat = n.reshape(indices, -1);
  const last = part(axis + 1, Number.MAX_SAFE_INTEGER);
  const behind = graph.reduce('ReduceProd', n.concat(graph.ints([1]), last), [0], 1);
  const sizes = n.concat(before, n.op('Shape', [flat]), behind);
  // Nothing may have been selected, for example by a router: then 0 is a real size.
  const zeroIsSize = graph.opset < 14 ? {} : { allowzero: 1 };
  const chosen = n.op('Reshape', [gradient, sizes], zeroIsSize);
  const zeros = n.op('Expand', [n.scalar(0), n.concat(before, part(axis, axis + 1), behind)]);
  const places = n.op('Expand', [n.reshape(flat, 1, -1, 1), sizes]);
  const summed = n.op('ScatterElements', [zeros, places, chosen], { axis: 1, reduction: 'add' });
  return n.op('Reshape', [summed, shape]);
}

const gather: Rule = (n) => [
  () => {
    const given = intAttribute(n.node, 'axis', 0);
    const axis = given === 0 ? 0 : fromFront(given, n.rankOf(n.x));
    return scatterAlong(n, n.dy, n.input(1), axis, n.sizesOf(n.x));
  },
];

const gatherElements: Rule = (n) => [
  () => n.scatter(n.x, { places: n.input(1), values: n.dy, axis: intAttribute(n.node, 'axis', 0) }),
];

const slice: Rule = (n) => [
  () => {
    const rank = n.rankOf(n.x);
    const count = n.shapeOf(n.input(1))?.[0];
    const places = n.input(3) === '' ? undefined : n.contentsOf(n.input(3));
    if (typeof count !== 'number' || (n.input(3) !== '' && places === undefined)) {
      return n.fail('Axes that are known only when the graph runs cannot be trained through.');
    }
    const axes = Array.from({ length: count }, (_, i) => fromFront(Number(places?.[i] ?? i), rank));
    const steps = n.input(4) === '' ? axes.map(() => 1) : n.contentsOf(n.input(4));
    return steps?.every((step) => step === 1) === true
      ? padSliced(n, rank, axes)
      : axes.reduce((gradient, axis, i) => spread(n, gradient, axis, i), n.dy);
  },
];

/** Element `i` of an integer vector, int64 [1]. */
function element(n: NodeGradient, vector: Value, i: number): Value {
  const known = n.contentsOf(vector)?.[i];
  return typeof known === 'number'
    ? n.graph.ints([known])
    : n.op('Gather', [vector, n.graph.ints([i])]);
}

/** Pads the gradient of a slice with step 1 by zeros before and after. */
function padSliced(n: NodeGradient, rank: number, axes: readonly number[]): Value {
  const zero = n.graph.ints([0]);
  const begins = Array.from({ length: rank }, () => zero);
  const ends = Array.from({ length: rank }, () => zero);
  axes.forEach((axis, i) => {
    const size = n.sizeOf(n.x, axis);
    const start = element(n, n.input(1), i);
    const place = n.op('Where', [n.op('Less', [start, zero]), n.add(start, size), start]);
    const begin = n.op('Max', [zero, n.op('Min', [place, size])]);
    begins[axis] = begin;
    ends[axis] = n.sub(n.sub(size, begin), n.sizeOf(n.y, axis));
  });
  return n.op('Pad', [n.dy, n.concat(...begins, ...ends)]);
}

/** Gradient of one axis of a slice with any step; slicing 0, 1, 2, … the same way returns the indices. */
function spread(n: NodeGradient, gradient: Value, axis: number, i: number): Value {
  const { graph } = n;
  const size = n.sizeOf(n.x, axis);
  const scalar = (value: number): Value => graph.ints([value], []);
  const all = n.op('Range', [scalar(0), n.op('Squeeze', [size, graph.ints([0])]), scalar(1)]);
  const bounds = [1, 2].map((place) => element(n, n.input(place), i));
  const indices = n.op('Slice', [all, ...bounds, graph.ints([0]), element(n, n.input(4), i)]);
  const sizes = n.op('Shape', [gradient]);
  const part = (start: number, end: number): Value =>
    n.op('Slice', [sizes, graph.ints([start]), graph.ints([end])]);
  const shape = n.concat(part(0, axis), size, part(axis + 1, Number.MAX_SAFE_INTEGER));
  return scatterAlong(n, gradient, indices, axis, shape);
}

const concat: Rule = (n) => {
  const axis = intAttribute(n.node, 'axis', 0);
  const inputs = n.node.input;
  if (inputs.length === 1) {
    return [() => n.dy];
  }
  const sizes = n.concat(...inputs.map((input) => n.sizeOf(input, axis)));
  const parts = n.graph.ops('Split', [n.dy, sizes], inputs.length, { axis });
  return inputs.map((_, place) => () => parts[place] ?? '');
};

const split: Rule = (n) => [
  () => {
    const parts = n.node.output.map((output, place) => n.gradients[place] ?? n.zerosLike(output));
    return n.op('Concat', parts, { axis: intAttribute(n.node, 'axis', 0) });
  },
];

const pad: Rule = (n) => [
  () => {
    if (stringAttribute(n.node, 'mode', 'constant') !== 'constant' || n.input(3) !== '') {
      return n.fail('Only constant padding of all axes can be trained through.');
    }
    // Padding is cropped; cropped elements (negative padding) get zeros.
    return n.op('Pad', [n.dy, n.op('Neg', [n.input(1)])]);
  },
];

const scatterND: Rule = (n) => {
  const reduction = stringAttribute(n.node, 'reduction', 'none');
  const places = n.input(1);
  if (reduction !== 'none' && reduction !== 'add') {
    return [() => n.fail(`Scattering by ${reduction} cannot be trained through.`)];
  }
  const taken = (): Value => n.op('GatherND', [n.dy, places]);
  return [
    () => (reduction === 'add' ? n.dy : n.op('ScatterND', [n.dy, places, n.zerosLike(n.input(2))])),
    undefined,
    taken,
  ];
};

const topK: Rule = (n) => [
  () =>
    n.op('ScatterElements', [n.zerosLike(n.x), n.node.output[1] ?? '', n.dy], {
      axis: intAttribute(n.node, 'axis', -1),
    }),
];

export const indexingRules: Readonly<Record<string, Rule>> = {
  Gather: gather,
  GatherElements: gatherElements,
  Slice: slice,
  Concat: concat,
  Split: split,
  Pad: pad,
  ScatterND: scatterND,
  TopK: topK,
};
