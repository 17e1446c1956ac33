import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { maskedScore } from './causal-mask';
import type { Routed } from './routing';

/**
 * Emits the best experts one after the other, each weighed against those that come near it among what
 * is left: of scores s, best b, those with (b − s) / max(|s|, b) ≤ 2 · jitter.
 */
export function emitSparseMixer(
  graph: GraphBuilder,
  scores: Value,
  jitter: number,
  perToken: number,
): Routed {
  const none = graph.scalar(maskedScore);
  const size = graph.op('Abs', [scores]);
  const best: { chosen: Value; share: Value }[] = [];
  let left = scores;
  for (let i = 0; i < perToken; i++) {
    const [most = '', chosen = ''] = graph.ops('TopK', [left, graph.ints([1])], 2, { axis: -1 });
    const short = graph.op('Div', [graph.op('Sub', [most, scores]), graph.op('Max', [size, most])]);
    const isFar = graph.op('Greater', [short, graph.scalar(2 * jitter)]);
    const near = graph.op('Where', [isFar, none, left]);
    const weights = graph.op('Softmax', [near], { axis: -1 });
    best.push({ chosen, share: graph.op('GatherElements', [weights, chosen], { axis: -1 }) });
    const lowest = graph.op('Expand', [none, graph.op('Shape', [chosen])]);
    left = graph.op('ScatterElements', [left, chosen, lowest], { axis: -1 });
  }
  const joined = (parts: readonly Value[]): Value => graph.op('Concat', [...parts], { axis: -1 });
  return {
    chosen: joined(best.map(({ chosen }) => chosen)),
    shares: joined(best.map(({ share }) => share)),
  };
}
