import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Int8Encoding, MatrixEncoding } from '../matrix-encoding';
import { emitRows, emitStored, emitWeight } from '../parts/weight';
import { emitScaledBlocks } from './emit-quantized';
import { encodingSizes } from './encoding-facts';

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
    case 'block-quantized':
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
