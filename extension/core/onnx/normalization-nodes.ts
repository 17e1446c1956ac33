import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from './proto/onnx_pb';
import type { NodeProto } from './proto/onnx_pb';

const float32: number = DataType.FLOAT;
const defaultEpsilon = 1e-12;
/** First opset whose ReduceMean has its axes as an input. */
const axesAsInput = 18;

/** Names of what scales and shifts the norm in a node that does something before it. */
export function fusedNormScale({ opType, input }: NodeProto): readonly string[] {
  return opType === 'EmbedLayerNormalization' ? input.slice(5, 7) : input.slice(2);
}

/**
 * The norm alone of a Skip(Simplified)LayerNormalization or EmbedLayerNormalization node, over
 * `value`, in basic operators that every opset from 7 on has: LayerNormalization (Ba et al. 2016) y
 * = (x − E x) / √(Var x + ε) · γ + β, or RMSNorm (Zhang and Sennrich 2019) y = x / √(E x² + ε) · γ.
 * Computed in float32 for every `type`.
 */
export function normalizationNodes(
  fused: NodeProto,
  value: string,
  opset: number,
  type: number,
): NodeProto[] {
  const [gamma = '', beta = ''] = fusedNormScale(fused);
  const [output = ''] = fused.output;
  const centered = fused.opType !== 'SkipSimplifiedLayerNormalization';
  const nodes: NodeProto[] = [];
  const name = (part: string): string => `${output}/norm/${part}`;
  const add = (opType: string, input: string[], part: string, last = false): string => {
    const made = last ? output : name(part);
    nodes.push(create(NodeProtoSchema, { name: name(part), opType, input, output: [made] }));
    return made;
  };
  const constant = (part: string, data: Uint8Array, dataType: DataType, dims: bigint[]): string => {
    const t = create(TensorProtoSchema, { dataType, dims, rawData: data });
    const attribute = [
      create(AttributeProtoSchema, { name: 'value', type: AttributeType.TENSOR, t }),
    ];
    nodes.push(
      create(NodeProtoSchema, {
        name: name(part),
        opType: 'Constant',
        output: [name(part)],
        attribute,
      }),
    );
    return name(part);
  };
  const mean = (input: string, part: string): string => {
    if (opset >= axesAsInput) {
      const axes = constant(
        `${part}.axes`,
        new Uint8Array(BigInt64Array.of(-1n).buffer),
        DataType.INT64,
        [1n],
      );
      return add('ReduceMean', [input, axes], part);
    }
    const made = add('ReduceMean', [input], part);
    const axes = create(AttributeProtoSchema, {
      name: 'axes',
      type: AttributeType.INTS,
      ints: [-1n],
    });
    nodes.at(-1)?.attribute.push(axes);
    return made;
  };
  const isFloat = type === float32;
  const cast = (input: string, to: number, part: string, last = false): string => {
    const made = add('Cast', [input], part, last);
    nodes
      .at(-1)
      ?.attribute.push(
        create(AttributeProtoSchema, { name: 'to', type: AttributeType.INT, i: BigInt(to) }),
      );
    return made;
  };
  const widen = (input: string, part: string): string =>
    isFloat ? input : cast(input, DataType.FLOAT, part);
  const wide = widen(value, 'input');
  const x = centered ? add('Sub', [wide, mean(wide, 'mean')], 'centered') : wide;
  const epsilon =
    fused.attribute.find((attribute) => attribute.name === 'epsilon')?.f ?? defaultEpsilon;
  const small = constant(
    'epsilon',
    new Uint8Array(Float32Array.of(epsilon).buffer),
    DataType.FLOAT,
    [],
  );
  const variance = mean(add('Mul', [x, x], 'square'), 'variance');
  const deviation = add('Sqrt', [add('Add', [variance, small], 'stable')], 'deviation');
  const unit = add('Div', [x, deviation], 'unit');
  const hasBeta = centered && beta !== '';
  const scaled = add('Mul', [unit, widen(gamma, 'gamma')], 'scaled', !hasBeta && isFloat);
  const normed = hasBeta ? add('Add', [scaled, widen(beta, 'beta')], 'shifted', isFloat) : scaled;
  if (!isFloat) {
    cast(normed, type, 'output', true);
  }
  return nodes;
}

/** Nodes for only the sum of such a node: its input, its skip, and its bias if it has one. */
export function sumNodes(terms: readonly string[], output: string): NodeProto[] {
  const add = (a: string, b: string, sum: string): NodeProto =>
    create(NodeProtoSchema, { name: sum, opType: 'Add', input: [a, b], output: [sum] });
  const [a = '', b = '', bias] = terms;
  return bias === undefined
    ? [add(a, b, output)]
    : [add(a, b, `${output}/unbiased`), add(`${output}/unbiased`, bias, output)];
}
