import { DataType, float } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';

/** Running statistics of a batch norm, [channels] each. */
export interface RunningStatistics {
  readonly mean: Value;
  readonly variance: Value;
}

/**
 * Statistics to give a batch norm in training mode whose momentum is 0: it then gives those of the batch.
 * ONNX Runtime writes a batch norm's running statistics over its inputs, graph inputs not excepted, so they
 * must be values that nobody else reads.
 */
export function emitScratch(graph: GraphBuilder, { mean, variance }: RunningStatistics): Value[] {
  return [mean, variance].map((value) => graph.op('Mul', [value, graph.scalar(0)]));
}

/**
 * Emits the running statistics after a step, as PyTorch defines them: momentum · old + (1 − momentum) · new,
 * the new variance being the unbiased one.
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

/** Emits batch norm with the statistics of the batch, and the running statistics after it. */
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
