import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';

const float32: number = DataType.FLOAT;

/** What `compute` makes of x in float32, whatever the type of the graph is; its result has that type again. */
export function inFloats(
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
