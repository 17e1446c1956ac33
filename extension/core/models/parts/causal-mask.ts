import { emitLength } from '../../onnx/emit-sequence';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs } from '../model-emitter';
import { emitDistanceBias } from './distance-bias';
import type { DistanceBias } from './distance-bias';

/** Finite, so that a row without any allowed position stays uniform instead of NaN. */
export const maskedScore = -3.4028234663852886e38;

/**
 * Emits the additive mask [batch, 1, sequence, total]: 0 for visible tokens, the lowest float32 for
 * others. With ALiBi slopes or a relative position bias, its shape is [batch, heads, sequence,
 * total], and visible tokens have the bias. Token i of the sequence is at position past + i; with a
 * window it sees the last `window` positions, including itself.
 */
export function emitCausalMask(
  graph: GraphBuilder,
  inputs: ModelInputs,
  window: number | undefined,
  slopes?: readonly number[],
  distanceBias?: DistanceBias,
): Value {
  const sequenceLength = (x: Value): Value => graph.op('Squeeze', [emitLength(graph, x, 1)]);
  const total = sequenceLength(inputs.attentionMask);
  const past = graph.op('Sub', [total, sequenceLength(inputs.inputIds)]);
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
  const present = emitPresent(graph, inputs.attentionMask);
  const allowed = graph.op('And', [near, present]);
  const none = graph.scalar(maskedScore);
  const bias =
    distanceBias === undefined
      ? emitBias(graph, inputs, slopes)
      : emitDistanceBias(graph, distanceBias, graph.op('Sub', [columns, rows]));
  return graph.op('Where', [allowed, bias ?? graph.scalar(0), none]);
}

/** Emits the tokens that are no padding: bool [batch, 1, 1, total]. */
function emitPresent(graph: GraphBuilder, attentionMask: Value): Value {
  return graph.op('Unsqueeze', [
    graph.op('Cast', [attentionMask], { to: DataType.BOOL }),
    graph.ints([1, 2]),
  ]);
}

/**
 * Emits the additive mask of bidirectional attention, up to `window` positions to each
 * side: [batch, 1, 1, total], or [batch, 1 | heads, total, total] with a window, with a bias by
 * distance or with ALiBi's slopes.
 */
export function emitWholeMask(
  graph: GraphBuilder,
  attentionMask: Value,
  window: number | undefined,
  distanceBias: DistanceBias | undefined,
  slopes?: readonly number[],
): Value {
  const present = emitPresent(graph, attentionMask);
  const none = graph.scalar(maskedScore);
  if ((window ?? distanceBias ?? slopes) === undefined) {
    return graph.op('Where', [present, graph.scalar(0), none]);
  }
  const length = graph.op('Squeeze', [emitLength(graph, attentionMask, 1)]);
  const columns = graph.op('Range', [graph.ints([0], []), length, graph.ints([1], [])]);
  const rows = graph.op('Unsqueeze', [columns, graph.ints([1])]);
  const ahead = graph.op('Sub', [columns, rows]);
  const near =
    window === undefined
      ? present
      : graph.op('And', [
          present,
          graph.op('LessOrEqual', [graph.op('Abs', [ahead]), graph.ints([window], [])]),
        ]);
  const bias =
    distanceBias === undefined
      ? emitLosses(graph, ahead, slopes)
      : emitDistanceBias(graph, distanceBias, ahead);
  return graph.op('Where', [near, bias ?? graph.scalar(0), none]);
}

/** Emits −slope · |ahead|: [1, heads, queries, keys]. */
function emitLosses(
  graph: GraphBuilder,
  ahead: Value,
  slopes: readonly number[] | undefined,
): Value | undefined {
  if (slopes === undefined) {
    return undefined;
  }
  const distance = graph.op('Cast', [graph.op('Abs', [ahead])], { to: DataType.FLOAT });
  const losses = slopes.map((slope) => -slope);
  return graph.op('Mul', [distance, graph.floats(losses, [1, losses.length, 1, 1])]);
}

/**
 * Emits slope · position of each key: [batch, heads, 1, total]. That is ALiBi's −slope · distance but
 * for a term that is equal for all keys of a query and doesn't change the softmax.
 */
function emitBias(
  graph: GraphBuilder,
  { attentionMask }: ModelInputs,
  slopes: readonly number[] | undefined,
): Value | undefined {
  if (slopes === undefined) {
    return undefined;
  }
  const counted = graph.op('CumSum', [attentionMask, graph.ints([1], [])]);
  const positions = graph.op('Cast', [graph.op('Sub', [counted, graph.ints([1], [])])], {
    to: DataType.FLOAT,
  });
  const bySlope = graph.floats(slopes, [1, slopes.length, 1, 1]);
  return graph.op('Mul', [graph.op('Unsqueeze', [positions, graph.ints([1, 2])]), bySlope]);
}
