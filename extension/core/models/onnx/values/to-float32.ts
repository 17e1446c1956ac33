import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';

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
