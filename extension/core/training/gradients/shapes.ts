import type { Value } from '../../onnx/graph-builder';
import { intAttribute, intsAttribute } from '../../models/onnx/graph-index';
import type { NodeGradient, Rule } from './node-gradient';

const reshaped: Rule = (n) => [() => n.reshapeLike(n.dy, n.x)];

const transpose: Rule = (n) => [
  () => {
    const perm = intsAttribute(n.node, 'perm');
    const inverse = perm?.map((_, axis) => perm.indexOf(axis));
    const product = n.emitted.products.get(n.dy);
    if (product !== undefined && swapsLast(perm)) {
      // (A · B)ᵀ = Bᵀ · Aᵀ
      const [[a, b], [swapsA, swapsB]] = [product.factors, product.swaps];
      return n.fusedProduct([b, a], [!swapsB, !swapsA]);
    }
    return n.op('Transpose', [n.dy], inverse === undefined ? {} : { perm: inverse });
  },
];

const swapsLast = (perm: readonly number[] | undefined): boolean =>
  perm?.every((axis, place) => {
    const fromEnd = perm.length - place;
    return axis === (fromEnd === 1 ? place - 1 : fromEnd === 2 ? place + 1 : place);
  }) === true;

/** Repetition along every axis: [d₀, d₁, …] is reshaped to [r₀, d₀, r₁, d₁, …] and summed over the repetitions. */
const tile: Rule = (n) => [
  () => {
    const rank = n.rankOf(n.x);
    const pairs = Array.from({ length: rank }, (_, axis): Value[] => [
      n.op('Gather', [n.input(1), n.graph.ints([axis])]),
      n.sizeOf(n.x, axis),
    ]);
    const split = n.op('Reshape', [n.dy, n.concat(...pairs.flat())]);
    const repeats = pairs.map((_, axis) => 2 * axis);
    return n.sum(split, repeats, 0);
  },
];

const trilu: Rule = (n) => [
  () => {
    const diagonal = n.input(1) === '' ? [] : [n.input(1)];
    return n.op('Trilu', [n.dy, ...diagonal], { upper: intAttribute(n.node, 'upper', 1) });
  },
];

const cumulativeSum: Rule = (n) => [
  () =>
    n.op('CumSum', [n.dy, n.input(1)], {
      exclusive: intAttribute(n.node, 'exclusive', 0),
      reverse: 1 - intAttribute(n.node, 'reverse', 0),
    }),
];

const expand: Rule = (n: NodeGradient) => [() => n.sumTo(n.dy, n.y, n.x)];

/** Gradient rules of operators that move or repeat elements. */
export const shapeGradientRules: Readonly<Record<string, Rule>> = {
  Reshape: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Flatten: reshaped,
  Transpose: transpose,
  Expand: expand,
  Tile: tile,
  Trilu: trilu,
  CumSum: cumulativeSum,
};
