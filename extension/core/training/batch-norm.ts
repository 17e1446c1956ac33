import { DataType, float } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';

/** Running statistics of a batch norm, [channels] each. */
export interface RunningStatistics {
  readonly mean: Value;
  readonly variance: Value;
}

/**
 * Copies of the running statistics for a batch norm in training mode with momentum 0, which then returns the statistics
 * of the batch. ONNX Runtime overwrites the inputs of a batch norm, even graph inputs, so nothing else may read them.
 */
export function emitScratch(graph: GraphBuilder, { mean, variance }: RunningStatistics): Value[] {
  return [mean, variance].map((value) => graph.op('Mul', [value, graph.scalar(0)]));
}

/**
 * Emits the running statistics after a step as in PyTorch: momentum · old + (1 − momentum) · new, with the unbiased
 * variance.
 */
export function emitRunningStatistics(
  graph: GraphBuilder,
  x: Value,
  old: RunningStatistics,
  batch: RunningStatistics,
  momentum: number,
): RunningStatistics {
  const count = (value: Value): Value =>
    graph.op('Cast', [graph.op('Size', [value])], { to: DataType.FLOAT });
  const number = graph.op('Div', [count(x), count(batch.variance)]);
  const others = graph.op('Max', [graph.op('Sub', [number, graph.scalar(1)]), graph.scalar(1)]);
  const unbiased = graph.op('Mul', [batch.variance, graph.op('Div', [number, others])]);
  const moved = (from: Value, to: Value): Value =>
    graph.op('Add', [
      graph.op('Mul', [from, graph.scalar(momentum)]),
      graph.op('Mul', [to, graph.scalar(1 - momentum)]),
    ]);
  return { mean: moved(old.mean, batch.mean), variance: moved(old.variance, unbiased) };
}

/** Emits batch norm with the statistics of the batch, and the updated running statistics. */
export function emitTrainingBatchNorm(
  graph: GraphBuilder,
  x: Value,
  { scale, bias }: { readonly scale: Value; readonly bias: Value },
  old: RunningStatistics,
  { epsilon, momentum }: { readonly epsilon: number; readonly momentum: number },
): { y: Value; next: RunningStatistics } {
  const [y = '', mean = '', variance = ''] = graph.ops(
    'BatchNormalization',
    [x, scale, bias, ...emitScratch(graph, old)],
    3,
    { epsilon: float(epsilon), momentum: float(0), training_mode: 1 },
  );
  return { y, next: emitRunningStatistics(graph, x, old, { mean, variance }, momentum) };
}
