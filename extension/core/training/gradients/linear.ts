import { float } from '../../onnx/graph-builder';
import type { Attribute, Value } from '../../onnx/graph-builder';
import { floatAttribute, intAttribute, stringAttribute } from '../../models/onnx/graph-index';
import type { NodeGradient, Rule } from './node-gradient';

/** Y = α · op(A) · op(B) + β · C */
const gemm: Rule = (n) => {
  const [a, b, c] = [n.input(0), n.input(1), n.input(2)];
  const [transA, transB] = [intAttribute(n.node, 'transA', 0), intAttribute(n.node, 'transB', 0)];
  const alpha = floatAttribute(n.node, 'alpha', 1);
  const product = (left: Value, right: Value, ta: number, tb: number): Value => {
    const attributes: Record<string, Attribute> = { transA: ta, transB: tb, alpha: float(alpha) };
    return n.op('Gemm', [left, right], attributes);
  };
  return [
    () => (transA === 0 ? product(n.dy, b, 0, 1 - transB) : product(b, n.dy, transB, 1)),
    () => (transB === 0 ? product(a, n.dy, 1 - transA, 0) : product(n.dy, a, 1, transA)),
    () => n.scale(n.sumTo(n.dy, n.y, c), floatAttribute(n.node, 'beta', 1)),
  ];
};

/** Matmul over the last two axes with broadcast batch axes; vectors are a row or a column. */
const matMul: Rule = (n) => {
  const [a, b] = [n.input(0), n.input(1)];
  const [rankA, rankB] = [n.rankOf(a), n.rankOf(b)];
  if (rankA === 1 || rankB === 1) {
    return vectorProduct(n, rankA, rankB);
  }
  if (rankB === 2) {
    return rowsProduct(n, a, b, rankA);
  }
  // The gradients have the batch axes of the result.
  const rank = Math.max(rankA, rankB);
  return [
    () => sumBatch(n, n.product([n.dy, b], [false, true], [rank, rankB]), a, rank),
    () => sumBatch(n, n.product([a, n.dy], [true, false], [rankA, rank]), b, rank),
  ];
};

/** The same weights for all rows: one large matmul instead of one per batch. */
function rowsProduct(n: NodeGradient, a: Value, b: Value, rank: number): ReturnType<Rule> {
  const rows = (value: Value, columns: Value): Value => n.reshape(value, -1, columns);
  const inner = n.sizeOf(b, 0);
  const numColumns = n.sizeOf(b, 1);
  const dy = (): Value => (rank === 2 ? n.dy : rows(n.dy, numColumns));
  return [
    () => {
      const product = n.op('Gemm', [dy(), b], { transB: 1 });
      return rank === 2 ? product : n.reshapeLike(product, a);
    },
    () => n.op('Gemm', [rank === 2 ? a : rows(a, inner), dy()], { transA: 1 }),
  ];
}

function vectorProduct(n: NodeGradient, rankA: number, rankB: number): ReturnType<Rule> {
  const [a, b] = [n.input(0), n.input(1)];
  const row = (value: Value): Value => n.op('Unsqueeze', [value, n.graph.ints([-2])]);
  const column = (value: Value): Value => n.op('Unsqueeze', [value, n.graph.ints([-1])]);
  const left = rankA === 1 ? row(a) : a;
  const right = rankB === 1 ? column(b) : b;
  const columns = rankB === 1 ? column(n.dy) : n.dy;
  const dy = rankA === 1 ? row(columns) : columns;
  const [rankLeft, rankRight] = [Math.max(2, rankA), Math.max(2, rankB)];
  const rank = Math.max(rankLeft, rankRight);
  return [
    () => {
      const gradient = n.op('MatMul', [dy, n.swapLast(right, rankRight)]);
      return rankA === 1 ? sumToVector(n, gradient, rank, -1) : sumBatch(n, gradient, a, rank);
    },
    () => {
      const gradient = n.op('MatMul', [n.swapLast(left, rankLeft), dy]);
      return rankB === 1 ? sumToVector(n, gradient, rank, -2) : sumBatch(n, gradient, b, rank);
    },
  ];
}

/** Sums all axes except one of the last two. */
function sumToVector(n: NodeGradient, value: Value, rank: number, remaining: -1 | -2): Value {
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter(
    (axis) => axis !== rank + remaining,
  );
  return n.sum(value, axes, 0);
}

/** Sums a gradient over the batch axes that `to` was broadcast along. */
function sumBatch(n: NodeGradient, gradient: Value, to: Value, rank: number): Value {
  const [own, other] = [n.shapeOf(n.input(0)), n.shapeOf(n.input(1))].map((shape) =>
    shape?.slice(0, -2),
  );
  const same =
    own?.length === other?.length && own?.every((size, axis) => size === other?.[axis]) === true;
  return same && n.rankOf(to) === rank ? gradient : n.sumToShape(gradient, to);
}

/**
 * Gradient of Einsum. Labels that only one operand has were summed, so the gradient is broadcast along them.
 */
const einsum: Rule = (n) => {
  const [left = '', right] = stringAttribute(n.node, 'equation', '')
    .replaceAll(' ', '')
    .split('->');
  const operands = left.split(',');
  if (right === undefined) {
    return n.fail('An equation without -> cannot be trained through.');
  }
  return operands.map((labels, place) => () => {
    const names = Array.from(labels.replace('...', ''));
    if (new Set(names).size < names.length) {
      return n.fail('An operand with a repeated label cannot be trained through.');
    }
    const others = operands.filter((_, i) => i !== place);
    const summed = names.filter((name) => ![right, ...others].some((term) => term.includes(name)));
    const lasting = summed.reduce((text, name) => text.replace(name, ''), labels);
    const gradient = n.op('Einsum', [n.dy, ...n.node.input.filter((_, i) => i !== place)], {
      equation: `${[right, ...others].join()}->${lasting}`,
    });
    const input = n.input(place);
    if (summed.length === 0) {
      const sizes = labels.includes('...') ? undefined : n.shapeOf(input);
      const whole = sizes?.every((size) => typeof size === 'number' && size !== 1) === true;
      return whole ? gradient : n.sumToShape(gradient, input);
    }
    if (labels.includes('...')) {
      return n.fail('There is no gradient for an einsum that sums labels next to an ellipsis.');
    }
    const axes = summed.map((name) => labels.indexOf(name));
    return n.expandLike(n.op('Unsqueeze', [gradient, n.graph.ints(axes)]), input);
  });
};

export const linearRules: Readonly<Record<string, Rule>> = {
  Gemm: gemm,
  MatMul: matMul,
  Einsum: einsum,
};
