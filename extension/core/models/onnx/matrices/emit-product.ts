import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import { emitOverLast } from '../../encodings/emit-pointwise';
import type { MatrixEncoding, ModelMatrix } from '../../matrix-encoding';
import { emitRegion } from '../stream/encoding-regions';
import { emitSplitAttention, fusedAttention } from '../stream/fused-attention';
import { operatorName, floatAttribute } from '../graph-index';
import { hasUnitStrides } from './linear-weights';
import type { LinearWeight, PositionMap } from './linear-weights';

/** A matrix by which a graph multiplies. */
type MultipliedMatrix = ModelMatrix & { readonly use: LinearWeight };

/** Emits the outputs of a layer's matmul with an encoded matrix, in order. */
export function emitProduct(
  graph: GraphBuilder,
  layer: MultipliedMatrix,
  form: MatrixEncoding,
  number: number,
): Value[] {
  const product = layer.use.products[number];
  if (product === undefined) {
    throw new RangeError(`${layer.id} has no product ${number}`);
  }
  const { node, input, map } = product;
  if (layer.form !== undefined) {
    return [emitRegion(graph, form, input, number, map?.axes)];
  }
  const multiply = (x: Value): Value =>
    toFloat32(graph, layer.use.dataType, x, (wide) =>
      emitRegion(graph, form, strided(graph, wide, map), number, map?.axes),
    );
  switch (operatorName(node)) {
    case 'Gemm':
      return [emitGemm(graph, layer, node, multiply)];
    case 'Conv':
      return [withBias(graph, layer, node, multiply(input), map)];
    case fusedAttention:
      return emitSplitAttention(
        graph,
        node,
        emitOverLast(graph, layer, input, multiply),
        layer.out,
      );
    default:
      return [emitOverLast(graph, layer, input, multiply)];
  }
}

/** The positions that a convolution takes: a pool of kernel 1 chooses them. */
function strided(graph: GraphBuilder, x: Value, map: PositionMap | undefined): Value {
  if (map === undefined || hasUnitStrides(map)) {
    return x;
  }
  const { strides } = map;
  return graph.op('MaxPool', [x], { kernel_shape: strides.map(() => 1), strides });
}

/** alpha · x·Wᵀ + beta · c */
function emitGemm(
  graph: GraphBuilder,
  { use: { dataType } }: MultipliedMatrix,
  node: NodeProto,
  multiply: (x: Value) => Value,
): Value {
  const [x = '', , c = ''] = node.input;
  const times = (value: Value, factor: number): Value =>
    factor === 1
      ? value
      : graph.op('Mul', [value, graph.op('Cast', [graph.scalar(factor)], { to: dataType })]);
  const product = times(multiply(x), floatAttribute(node, 'alpha', 1));
  return c === '' ? product : graph.op('Add', [product, times(c, floatAttribute(node, 'beta', 1))]);
}

/** With the bias of a convolution, a number for each channel. */
function withBias(
  graph: GraphBuilder,
  { out }: MultipliedMatrix,
  node: NodeProto,
  product: Value,
  map: PositionMap | undefined,
): Value {
  const bias = node.input[2] ?? '';
  const shape = [out, ...new Array<number>(map?.axes ?? 0).fill(1)];
  return bias === ''
    ? product
    : graph.op('Add', [product, graph.op('Reshape', [bias, graph.ints(shape)])]);
}

const float32: number = DataType.FLOAT;

/** Runs `compute` on x in float32 and casts the result back to the type of the graph. */
export function toFloat32(
  graph: GraphBuilder,
  dataType: number,
  x: Value,
  compute: (wide: Value) => Value,
): Value {
  if (dataType === float32) {
    return compute(x);
  }
  const wide = graph.op('Cast', [x], { to: DataType.FLOAT });
  return graph.op('Cast', [compute(wide)], { to: dataType });
}
