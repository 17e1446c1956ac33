import { create } from '@bufbuild/protobuf';
import type { Value } from '../../onnx/graph-builder';
import type { NodeProto } from '../../onnx/proto/onnx_pb';
import { NodeProtoSchema } from '../../onnx/proto/onnx_pb';

/** Lookups for values: the node that produces one, and the number that a constant contains. */
export interface Makers {
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
