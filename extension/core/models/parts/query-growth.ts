import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { QueryGrowth } from '../transformer/architecture';

/** Emits the factor on queries at `positionIds` [batch, sequence] (int64): [batch, 1, sequence, 1]. */
export function emitQueryGrowth(
  graph: GraphBuilder,
  { scale, period, offset }: QueryGrowth,
  positionIds: Value,
): Value {
  const positions = graph.op('Cast', [positionIds], { to: DataType.FLOAT });
  const shifted = graph.op('Add', [positions, graph.scalar(offset)]);
  const periods = graph.op('Floor', [graph.op('Div', [shifted, graph.scalar(period)])]);
  const logarithm = graph.op('Log', [graph.op('Add', [periods, graph.scalar(1)])]);
  const factor = graph.op('Add', [
    graph.op('Mul', [logarithm, graph.scalar(scale)]),
    graph.scalar(1),
  ]);
  return graph.op('Unsqueeze', [factor, graph.ints([1, 3])]);
}
