import type { Dimension, Value } from '../../onnx/graph-builder';
import { intAttribute, intsAttribute } from '../../models/onnx/graph-index';
import type { NodeGradient, Rule } from './node-gradient';

/** Restores the reduced axes with size 1. */
function restoreAxes(n: NodeGradient, value: Value): Value {
  if (intAttribute(n.node, 'keepdims', 1) === 1) {
    return value;
  }
  const axes = intsAttribute(n.node, 'axes');
  if (axes !== undefined) {
    return n.op('Unsqueeze', [value, n.graph.ints(axes)]);
  }
  // Without axes everything is reduced to a scalar, which broadcasts anyway.
  return n.input(1) === '' || n.contentsOf(n.input(1))?.length === 0
    ? value
    : n.op('Unsqueeze', [value, n.input(1)]);
}

/** True if an empty list of axes makes the node an identity. */
function isIdentity(n: NodeGradient): boolean {
  const axes = intsAttribute(n.node, 'axes') ?? n.contentsOf(n.input(1));
  const none = n.input(1) === '' || axes?.length === 0;
  return none && axes?.length !== undefined
    ? intAttribute(n.node, 'noop_with_empty_axes', 0) === 1 && axes.length === 0
    : n.input(1) === '' && intAttribute(n.node, 'noop_with_empty_axes', 0) === 1;
}

/** Rule of a reduction, from the gradient and the output with all axes. */
const reduction =
  (gradient: (n: NodeGradient, dy: Value, y: () => Value) => Value): Rule =>
  (n) => [
    () =>
      gradient(n, isIdentity(n) ? n.dy : restoreAxes(n, n.dy), () =>
        isIdentity(n) ? n.y : restoreAxes(n, n.y),
      ),
  ];

/** Elements with the same maximum or minimum share the gradient. */
const extremum = reduction((n, dy, y) => {
  const chosen = n.indicator(n.op('Equal', [n.x, y()]));
  return n.mul(chosen, n.div(dy, sumLike(n, chosen)));
});

/** dy · the product of the other elements; y / x would fail if an element is 0. */
const product: Rule = (n) => [
  () => {
    if (isIdentity(n)) {
      return n.dy;
    }
    const [zero, one] = [n.scalar(0), n.scalar(1)];
    const isZero = n.op('Equal', [n.x, zero]);
    const others = n.op('Where', [isZero, one, n.x]);
    const zeros = sumLike(n, n.indicator(isZero));
    const axes = intsAttribute(n.node, 'axes');
    const given = n.input(1) === '' ? [] : [n.input(1)];
    const whole = n.op('ReduceProd', [others, ...given], {
      keepdims: 1,
      ...(axes === undefined ? {} : { axes }),
    });
    const among = (count: Value): Value => n.indicator(n.op('Equal', [zeros, count]));
    const atZero = n.mul(n.indicator(isZero), n.mul(whole, among(one)));
    const elsewhere = n.where(n.op('Not', [isZero]), n.div(n.mul(whole, among(zero)), others));
    return n.mul(n.add(atZero, elsewhere), restoreAxes(n, n.dy));
  },
];

/** Sum over the node's axes, with keepdims. */
function sumLike(n: NodeGradient, value: Value): Value {
  const axes = intsAttribute(n.node, 'axes');
  const given = axes === undefined ? n.input(1) : n.graph.ints(axes);
  return n.op('ReduceSum', given === '' ? [value] : [value, given], { keepdims: 1 });
}

const softmaxAxis = (n: NodeGradient): number => intAttribute(n.node, 'axis', -1);

/** P ⊙ (dP − Σ dP ⊙ P) */
const softmax: Rule = (n) => [
  () => {
    const weighted = n.mul(n.dy, n.y);
    const total = n.sum(weighted, [softmaxAxis(n)], 1);
    return n.sub(weighted, n.mul(n.y, total));
  },
];

/** dL − exp(L) · Σ dL. If dL comes from a gather in each row, such as of labels, no dense gradient is created. */
const logSoftmax: Rule = (n) => [
  () => {
    const axis = softmaxAxis(n);
    const scattered = n.emitted.scattered.get(n.dy);
    const count = scattered?.axis === axis ? gathered(n, scattered.places, axis) : undefined;
    if (scattered === undefined || count === undefined) {
      return n.sub(n.dy, n.mul(n.op('Exp', [n.y]), n.sum(n.dy, [axis], 1)));
    }
    const { values } = scattered;
    const total = count === 1 ? values : n.sum(values, [axis], 1);
    return n.scatterInto(n.mul(n.op('Exp', [n.y]), n.op('Neg', [total])), scattered);
  },
];

/** Number of gathered indices per row of y; undefined if some rows may have none. */
function gathered(n: NodeGradient, places: Value, axis: number): Dimension | undefined {
  const [all, some] = [n.shapeOf(n.y), n.shapeOf(places)];
  const at = axis < 0 ? axis + (all?.length ?? 0) : axis;
  return some?.every((size, i) => i === at || size === all?.[i]) === true ? some[at] : undefined;
}

export const reductionRules: Readonly<Record<string, Rule>> = {
  ReduceSum: reduction((n, dy) => n.expandLike(dy, n.x)),
  ReduceMean: reduction((n, dy) => n.expandLike(n.div(dy, n.ratioOfSizes(n.x, n.y)), n.x)),
  ReduceMax: extremum,
  ReduceMin: extremum,
  ReduceSumSquare: reduction((n, dy) => n.mul(n.scale(n.x, 2), dy)),
  ReduceL1: reduction((n, dy) => n.mul(n.op('Sign', [n.x]), dy)),
  // If all elements are 0, the norm has no gradient: 0 is used, as in PyTorch.
  ReduceL2: reduction((n, dy, y) => {
    const norm = y();
    const isZero = n.op('Equal', [norm, n.scalar(0)]);
    const divisor = n.op('Where', [isZero, n.scalar(1), norm]);
    return n.mul(n.x, n.div(dy, divisor));
  }),
  ReduceProd: product,
  ReduceLogSum: reduction((n, dy, y) => n.expandLike(n.div(dy, n.op('Exp', [y()])), n.x)),
  ReduceLogSumExp: reduction((n, dy, y) => n.mul(n.op('Exp', [n.sub(n.x, y())]), dy)),
  Softmax: softmax,
  LogSoftmax: logSoftmax,
};
