import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { MatrixEncoding } from '../matrix-encoding';
import { emitWeight } from '../parts/weight';
import { emitMpo } from './emit-mpo';
import { emitBlockQuantized, emitInt8 } from './emit-quantized';

/** Applies a matrix W in any form to `rows` [rows, in]: x·Wᵀ + bias, [rows, out]. */
export function emitEncoding(
  graph: GraphBuilder,
  form: MatrixEncoding,
  rows: Value,
  bias?: Value,
): Value {
  const withBias = (product: Value): Value =>
    bias === undefined ? product : graph.op('Add', [product, bias]);
  switch (form.kind) {
    case 'dense':
      return emitProduct(graph, rows, emitWeight(graph, form.weight), bias);
    case 'low-rank':
      return emitEncoding(graph, form.left, emitEncoding(graph, form.right, rows), bias);
    case 'mpo':
      return withBias(emitMpo(graph, form, rows));
    case 'block-quantized':
      return withBias(emitBlockQuantized(graph, form, rows));
    case 'int8':
      return withBias(emitInt8(graph, form, rows));
  }
}

/** rows·Wᵀ + bias with W [out, in]. */
function emitProduct(graph: GraphBuilder, rows: Value, matrix: Value, bias?: Value): Value {
  const inputs = bias === undefined ? [rows, matrix] : [rows, matrix, bias];
  return graph.op('Gemm', inputs, { transB: 1 });
}
