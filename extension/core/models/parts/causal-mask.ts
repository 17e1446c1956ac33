import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs } from '../model-emitter';

/** Finite, so that a row without any allowed position stays uniform instead of NaN. */
export const maskedScore = -3.4028234663852886e38;

/**
 * Emits the additive mask [batch, 1, sequence, total]: 0 where a token may look, the lowest float32
 * elsewhere. Token i of the sequence stands at position past + i; with a window it sees the last
 * `window` positions, itself included.
 */
export function emitCausalMask(
  graph: GraphBuilder,
  inputs: ModelInputs,
  window: number | undefined,
): Value {
  const lengthOf = (x: Value): Value =>
    graph.op('Squeeze', [
      graph.op('Slice', [graph.op('Shape', [x]), graph.ints([1]), graph.ints([2])]),
    ]);
  const total = lengthOf(inputs.attentionMask);
  const past = graph.op('Sub', [total, lengthOf(inputs.inputIds)]);
  const step = graph.ints([1], []);
  const columns = graph.op('Range', [graph.ints([0], []), total, step]);
  const rows = graph.op('Unsqueeze', [graph.op('Range', [past, total, step]), graph.ints([1])]);
  const causal = graph.op('LessOrEqual', [columns, rows]);
  const near =
    window === undefined
      ? causal
      : graph.op('And', [
          causal,
          graph.op('Greater', [columns, graph.op('Sub', [rows, graph.ints([window], [])])]),
        ]);
  const present = graph.op('Unsqueeze', [
    graph.op('Cast', [inputs.attentionMask], { to: DataType.BOOL }),
    graph.ints([1, 2]),
  ]);
  const allowed = graph.op('And', [near, present]);
  return graph.op('Where', [allowed, graph.scalar(0), graph.scalar(maskedScore)]);
}
