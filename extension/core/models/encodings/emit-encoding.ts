import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { MatrixEncoding, Int8Encoding } from '../matrix-encoding';
import { emitWeight, emitRows, emitStored } from '../parts/weight';
import { emitMpo } from './emit-mpo';
import { emitGroupQuantized, emitInt8, emitScaledBlocks } from './emit-quantized';
import { DataType } from '../../onnx/graph-builder';
import { encodingSizes } from './encoding-facts';

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
    case 'group-quantized':
      return withBias(emitGroupQuantized(graph, form, rows));
    case 'int8':
      return withBias(emitInt8(graph, form, rows));
  }
}

/** rows·Wᵀ + bias with W [out, in]. */
function emitProduct(graph: GraphBuilder, rows: Value, matrix: Value, bias?: Value): Value {
  const inputs = bias === undefined ? [rows, matrix] : [rows, matrix, bias];
  return graph.op('Gemm', inputs, { transB: 1 });
}

/** Emits rows `ids`, of any shape, of an encoded matrix: float32 [...ids, in]. Only these rows are decoded. */
export function emitLookup(graph: GraphBuilder, form: MatrixEncoding, ids: Value): Value {
  const flat = graph.op('Reshape', [ids, graph.ints([-1])]);
  const width = graph.ints([encodingSizes(form).in]);
  const size = graph.op('Concat', [graph.op('Shape', [ids]), width], { axis: 0 });
  return graph.op('Reshape', [emitFlatRows(graph, form, flat), size]);
}

/** [rows, in] */
function emitFlatRows(graph: GraphBuilder, form: MatrixEncoding, ids: Value): Value {
  switch (form.kind) {
    case 'dense':
      return emitRows(graph, form.weight, ids);
    case 'group-quantized':
      return emitScaledBlocks(graph, form, (stored) => graph.op('Gather', [stored, ids]));
    case 'int8':
      return emitColumns(graph, form, ids);
    case 'low-rank':
    case 'mpo':
      throw new Error(`no row is looked up in a matrix of the form ${form.kind}`);
  }
}

/** Emits columns of a matrix stored as [in, out]. */
function emitColumns(
  graph: GraphBuilder,
  { quants, scales, inputScale }: Int8Encoding,
  ids: Value,
): Value {
  const columns = graph.op('Gather', [emitStored(graph, quants), ids], { axis: 1 });
  const numbers = graph.op('Transpose', [graph.op('Cast', [columns], { to: DataType.FLOAT })], {
    perm: [1, 0],
  });
  const scale = graph.op('Gather', [emitWeight(graph, scales), ids]);
  const rows = graph.op('Mul', [numbers, graph.op('Reshape', [scale, graph.ints([-1, 1])])]);
  return inputScale === undefined ? rows : graph.op('Mul', [rows, emitWeight(graph, inputScale)]);
}
