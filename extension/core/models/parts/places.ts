import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { SinePositions } from '../transformer/architecture';
import { emitRows } from './weight';

/** Emits what positions add to the embedding of `positionIds` int64 [batch, sequence]: [batch, sequence, width]. */
export function emitPlaces(
  graph: GraphBuilder,
  positions: { readonly weight: LazyTensor; readonly offset: number } | SinePositions,
  positionIds: Value,
  width: number,
): Value {
  return graph.step('positions', () => {
    const numbers = graph.op('Add', [positionIds, graph.ints([positions.offset], [])]);
    if ('weight' in positions) {
      return emitRows(graph, positions.weight, numbers);
    }
    const half = width / 2;
    const inverse = Array.from(
      { length: half },
      (_, i) => 10_000 ** (-i / positions.divisor(half)),
    );
    const column = graph.op('Unsqueeze', [
      graph.op('Cast', [numbers], { to: DataType.FLOAT }),
      graph.ints([2]),
    ]);
    const angles = graph.op('Mul', [column, graph.floats(inverse, [1, 1, half])]);
    return graph.op('Concat', [graph.op('Sin', [angles]), graph.op('Cos', [angles])], { axis: 2 });
  });
}
