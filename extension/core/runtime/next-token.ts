import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { LayeredModel } from '../models/layered-model';
import { predictsNextToken } from '../models/capabilities';
import { requireAble } from '../models/capability';
import type { TokenTerm } from './token-sums';

/**
 * Emits −log softmax(logits)[target] of every position: float32 [batch, sequence], in nats.
 * `logits` is [batch, sequence, vocabulary]; `targets` is int64 [batch or 1, sequence], with −1 for
 * an unknown token, whose value is 0.
 */
export function emitNegativeLogLikelihood(
  graph: GraphBuilder,
  logits: Value,
  targets: Value,
): Value {
  return graph.within('negative-log-likelihood', () => {
    // LogSoftmax subtracts the maximum first, so that large logits stay finite and exact.
    const logProbabilities = graph.op('LogSoftmax', [logits], { axis: -1 });
    const zero = graph.ints([0], []);
    const known = graph.op('GreaterOrEqual', [targets, zero]);
    const index = graph.op('Unsqueeze', [
      graph.op('Where', [known, targets, zero]),
      graph.ints([2]),
    ]);
    const rows = graph.op('Slice', [graph.op('Shape', [logits]), graph.ints([0]), graph.ints([2])]);
    const size = graph.op('Concat', [rows, graph.ints([1])], { axis: 0 });
    const chosen = graph.op(
      'GatherElements',
      [logProbabilities, graph.op('Expand', [index, size])],
      {
        axis: 2,
      },
    );
    const loss = graph.op('Neg', [graph.op('Squeeze', [chosen, graph.ints([2])])]);
    return graph.op('Where', [known, loss, graph.scalar(0)]);
  });
}

/** @throws UserError for a model whose output predicts no next token. */
export function requireNextTokens(model: Pick<LayeredModel, 'output' | 'summary'>): void {
  requireAble(predictsNextToken(model), model.summary.path);
}

/** −log p(next token | those before), in nats. */
export const negativeLogLikelihood: TokenTerm = {
  key: 'negative-log-likelihood',
  emit: emitNegativeLogLikelihood,
};

/** 1 if the target has the largest logit (the first one of ties), else 0. */
export const top1Hit: TokenTerm = {
  key: 'is-best',
  emit: (graph, logits, targets) =>
    graph.op('Cast', [graph.op('Equal', [emitArgmax(graph, logits), targets])], {
      to: DataType.FLOAT,
    }),
};

/** 1 if there is a target and it doesn't have the largest logit, else 0: [batch, rows]. */
export function emitTop1Miss(graph: GraphBuilder, logits: Value, targets: Value): Value {
  const known = graph.op('GreaterOrEqual', [targets, graph.ints([0], [])]);
  const other = graph.op('Not', [graph.op('Equal', [emitArgmax(graph, logits), targets])]);
  return graph.op('Cast', [graph.op('And', [known, other])], { to: DataType.FLOAT });
}

/** Argmax of the logits, first one of ties: int64 [batch, rows]. */
export const emitArgmax = (graph: GraphBuilder, logits: Value): Value =>
  graph.op('ArgMax', [logits], { axis: -1, keepdims: 0 });
