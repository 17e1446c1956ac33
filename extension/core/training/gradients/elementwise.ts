import { DataType, float } from '../../onnx/graph-builder';
import type { Value } from '../../onnx/graph-builder';
import { floatAttribute, stringAttribute } from '../../models/onnx/graph-index';
import type { NodeGradient, Rule } from './node-gradient';
import { create } from '@bufbuild/protobuf';
import type { NodeProto } from '../../onnx/proto/onnx_pb';
import { NodeProtoSchema } from '../../onnx/proto/onnx_pb';

const float32: number = DataType.FLOAT;

/** Rule of a unary operator, from its derivative. */
const derivative =
  (gradient: (n: NodeGradient) => Value): Rule =>
  (n) => [() => gradient(n)];

/** Rule of a binary operator with broadcasting. */
const broadcast =
  (first: (n: NodeGradient) => Value, second: (n: NodeGradient) => Value): Rule =>
  (n) => [() => n.sumTo(first(n), n.y, n.input(0)), () => n.sumTo(second(n), n.y, n.input(1))];

const expSquare = (n: NodeGradient, x: Value): Value => n.op('Exp', [n.mul(x, x)]);

/** Maximum and minimum: inputs with the same value share the gradient. */
const extremum: Rule = (n) => {
  const inputs = n.node.input;
  if (inputs.length === 1) {
    return [() => n.dy];
  }
  const chosen = inputs.map((input) => n.indicator(n.op('Equal', [input, n.y])));
  const share = n.div(n.dy, n.op('Sum', chosen));
  return inputs.map((input, place) => () => n.sumTo(n.mul(share, chosen[place] ?? ''), n.y, input));
};

const clip: Rule = (n) => {
  const [low, high] = [n.input(1), n.input(2)];
  const outside = (comparison: string, bound: Value): Value => n.op(comparison, [n.x, bound]);
  return [
    () => {
      const inside = [
        ...(low === '' ? [] : [n.op('GreaterOrEqual', [n.x, low])]),
        ...(high === '' ? [] : [n.op('LessOrEqual', [n.x, high])]),
      ];
      return inside.reduce((gradient, condition) => n.where(condition, gradient), n.dy);
    },
    () => n.sumTo(n.where(outside('Less', low), n.dy), n.x, low),
    () => n.sumTo(n.where(outside('Greater', high), n.dy), n.x, high),
  ];
};

/** x^b: b · x^(b − 1) with respect to x, x^b · ln x with respect to b where x > 0. */
const power: Rule = (n) => {
  const exponent = n.input(1);
  const fixed = n.constantOf(exponent);
  const typed = (): Value =>
    n.typeOf(exponent) === n.typeOf(n.x)
      ? exponent
      : n.op('Cast', [exponent], { to: n.typeOf(n.x) });
  return [
    () => {
      if (fixed !== undefined) {
        const less =
          fixed === 2 ? n.x : fixed === 1 ? undefined : n.op('Pow', [n.x, n.scalar(fixed - 1)]);
        const scaled = n.scale(n.dy, fixed);
        return n.sumTo(less === undefined ? scaled : n.mul(scaled, less), n.y, n.x);
      }
      const less = n.op('Pow', [n.x, n.sub(typed(), n.scalar(1))]);
      return n.sumTo(n.mul(n.dy, n.mul(typed(), less)), n.y, n.x);
    },
    () => {
      const positive = n.op('Greater', [n.x, n.scalar(0)]);
      const base = n.op('Where', [positive, n.x, n.scalar(1)]);
      return n.sumTo(n.mul(n.dy, n.mul(n.y, n.op('Log', [base]))), n.y, exponent);
    },
  ];
};

/** x · Φ(x) of opset 20, exactly or by its tanh approximation (arXiv 1606.08415). */
const gelu: Rule = derivative((n) => {
  if (stringAttribute(n.node, 'approximate', 'none') === 'none') {
    // Φ(x) + x · φ(x); HardSigmoid scales and shifts in one pass.
    const root = n.scale(n.x, Math.SQRT1_2);
    const line = { alpha: float(0.5), beta: float(0.5) };
    const cumulative = n.op('HardSigmoid', [n.op('Erf', [root])], line);
    const density = n.scale(n.div(root, expSquare(n, root)), 1 / Math.sqrt(Math.PI));
    return n.mul(n.dy, n.add(cumulative, density));
  }
  const root = Math.sqrt(2 / Math.PI);
  const square = n.mul(n.x, n.x);
  const inner = n.mul(n.x, n.add(n.scale(square, 0.044715 * root), n.scalar(root)));
  const tanh = n.op('Tanh', [inner]);
  const slope = n.add(n.scale(square, 3 * 0.044715 * root), n.scalar(root));
  const bent = n.mul(n.sub(n.scalar(1), n.mul(tanh, tanh)), n.mul(n.x, slope));
  return n.scale(n.mul(n.dy, n.add(n.add(n.scalar(1), tanh), bent)), 0.5);
});

/**
 * 1 if x > 0, otherwise 0. In float32, HardSigmoid with a slope that reaches 1 at the smallest normal number: one pass,
 * not two.
 */
const isPositive = (n: NodeGradient, x: Value): Value =>
  n.typeOf(n.y) === float32
    ? n.op('HardSigmoid', [x], { alpha: float(2 ** 127), beta: float(0) })
    : n.indicator(n.op('Greater', [x, n.scalar(0)]));

/** Slope below zero: `alpha` or a parameter. */
const parametricRelu: Rule = (n) => {
  const negative = n.op('Less', [n.x, n.scalar(0)]);
  return [
    () => n.op('Where', [negative, n.mul(n.dy, n.input(1)), n.dy]),
    () => n.sumTo(n.where(negative, n.mul(n.dy, n.x)), n.y, n.input(1)),
  ];
};

const hardSigmoidSlope = (n: NodeGradient, y: Value, alpha: number): Value => {
  const inside = n.op('And', [n.op('Greater', [y, n.scalar(0)]), n.op('Less', [y, n.scalar(1)])]);
  return n.scale(n.indicator(inside), alpha);
};

const none: Rule = () => [];

/** Gradient rules of elementwise operators. */
export const elementwiseRules: Readonly<Record<string, Rule>> = {
  Add: broadcast(
    (n) => n.dy,
    (n) => n.dy,
  ),
  Sub: broadcast(
    (n) => n.dy,
    (n) => n.op('Neg', [n.dy]),
  ),
  Mul: broadcast(
    (n) => n.dyTimes(n.input(1)),
    (n) => n.dyTimes(n.input(0)),
  ),
  Div: broadcast(
    (n) => n.div(n.dy, n.input(1)),
    (n) => n.op('Neg', [n.div(n.mul(n.dy, n.y), n.input(1))]),
  ),
  Sum: (n) => n.node.input.map((input) => () => n.sumTo(n.dy, n.y, input)),
  Pow: power,
  Min: extremum,
  Max: extremum,
  Clip: clip,
  Neg: derivative((n) => n.op('Neg', [n.dy])),
  Abs: derivative((n) => n.mul(n.dy, n.op('Sign', [n.x]))),
  Reciprocal: derivative((n) => n.op('Neg', [n.mul(n.dy, n.mul(n.y, n.y))])),
  Sqrt: derivative((n) => n.div(n.scale(n.dy, 0.5), n.y)),
  Exp: derivative((n) => n.mul(n.dy, n.y)),
  Log: derivative((n) => n.div(n.dy, n.x)),
  Erf: derivative((n) => n.scale(n.div(n.dy, expSquare(n, n.x)), 2 / Math.sqrt(Math.PI))),
  Tanh: derivative((n) => n.mul(n.dy, n.sub(n.scalar(1), n.mul(n.y, n.y)))),
  Sigmoid: derivative((n) => n.mul(n.dy, n.mul(n.y, n.sub(n.scalar(1), n.y)))),
  Relu: derivative((n) => n.mul(n.dy, isPositive(n, n.y))),
  LeakyRelu: derivative((n) =>
    n.op('Where', [
      n.op('Less', [n.x, n.scalar(0)]),
      n.scale(n.dy, floatAttribute(n.node, 'alpha', 0.01)),
      n.dy,
    ]),
  ),
  PRelu: parametricRelu,
  Elu: derivative((n) => {
    const alpha = floatAttribute(n.node, 'alpha', 1);
    const below = n.mul(n.dy, n.add(n.y, n.scalar(alpha)));
    return n.op('Where', [n.op('Less', [n.x, n.scalar(0)]), below, n.dy]);
  }),
  Softplus: derivative((n) => n.mul(n.dy, n.op('Sigmoid', [n.x]))),
  HardSigmoid: derivative((n) =>
    n.mul(n.dy, hardSigmoidSlope(n, n.y, floatAttribute(n.node, 'alpha', 0.2))),
  ),
  HardSwish: derivative((n) => {
    const gate = n.op('Clip', [
      n.add(n.scale(n.x, 1 / 6), n.scalar(0.5)),
      n.scalar(0),
      n.scalar(1),
    ]);
    return n.mul(n.dy, n.add(gate, n.mul(n.x, hardSigmoidSlope(n, gate, 1 / 6))));
  }),
  Gelu: gelu,
  Cos: derivative((n) => n.op('Neg', [n.mul(n.dy, n.op('Sin', [n.x]))])),
  Sin: derivative((n) => n.mul(n.dy, n.op('Cos', [n.x]))),
  Identity: derivative((n) => n.dy),
  // The identity, as in the graph: dropout is only active if training requests it.
  Dropout: derivative((n) => n.dy),
  Cast: derivative((n) => n.op('Cast', [n.dy], { to: n.typeOf(n.x) })),
  Where: (n) => [
    undefined,
    () => n.sumTo(n.where(n.x, n.dy), n.y, n.input(1)),
    () => n.sumTo(n.where(n.op('Not', [n.x]), n.dy), n.y, n.input(2)),
  ],
  // Piecewise constant.
  Sign: none,
  Floor: none,
  Ceil: none,
  Round: none,
};

/** Lookups for values: the node that produces one, and the number that a constant contains. */
interface Makers {
  readonly makerOf: (value: Value) => NodeProto | undefined;
  readonly numberOf: (value: Value) => number | undefined;
}

/**
 * Gelu node that replaces x · ½ · (1 + erf(x / √2)) in basic operators, if `node` is the last multiplication of it;
 * undefined otherwise. Its gradient takes half as many passes.
 */
export function matchGelu(node: NodeProto, makers: Makers): NodeProto | undefined {
  if (node.opType !== 'Mul') {
    return undefined;
  }
  const [a = '', b = ''] = node.input;
  for (const [inner, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const product = makers.makerOf(inner);
    const factors = product?.opType === 'Mul' ? [...product.input, other] : [];
    const rest = factors.filter((factor) => !isNear(makers.numberOf(factor), 0.5));
    const [x] = rest.filter((factor, i) => isGate(rest[1 - i] ?? '', factor, makers));
    if (x !== undefined && rest.length === 2) {
      return create(NodeProtoSchema, { ...node, opType: 'Gelu', input: [x] });
    }
  }
  return undefined;
}

/** True if `value` is 1 + erf(x / √2). */
function isGate(value: Value, x: Value, { makerOf, numberOf }: Makers): boolean {
  const sum = makerOf(value);
  const [erf] = sum?.input.map(makerOf).filter((maker) => maker?.opType === 'Erf') ?? [];
  const root = makerOf(erf?.input[0] ?? '');
  const [from, by = ''] = root?.input.toSorted((one) => (one === x ? -1 : 1)) ?? [];
  const factor = { Mul: Math.SQRT1_2, Div: Math.SQRT2 }[root?.opType ?? ''];
  return (
    sum?.opType === 'Add' &&
    sum.input.some((term) => numberOf(term) === 1) &&
    from === x &&
    isNear(numberOf(by), factor)
  );
}

const isNear = (number: number | undefined, expected: number | undefined): boolean =>
  number !== undefined && expected !== undefined && Math.abs(number / expected - 1) < 1e-6;
