import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { LayeredModel } from '../models/layered-model';
import { stream } from '../models/model-emitter';
import { UserError } from '../user-error';
import type { LayeredExecutor, Readout } from './layered-executor';
import { asRows, floatsOf, int64Tensor, rowsOf } from './tensors';
import type { HiddenState } from './tensors';

/**
 * Emits −log softmax(logits)[target] of every position: float32 [batch, sequence], in nats.
 * `logits` is [batch, sequence, vocabulary]; `targets` is int64 [batch or 1, sequence], where −1
 * stands for an unknown token and gives 0.
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
export function requireNextTokens({
  output,
  summary,
}: Pick<LayeredModel, 'output' | 'summary'>): void {
  if (output.seesWhole === true) {
    throw new UserError(
      `Perplexity needs a model that predicts the next token; ${summary.name} sees the whole input at every position.`,
      { file: summary.path, remedy: 'Profile it with another metric, such as js or norm.' },
    );
  }
}

/** Most logits held at once, in elements. */
const maxLogitsPerRun = 1 << 24;

const readout: Readout = {
  key: 'negative-log-likelihood',
  build: (graph, emitter) => {
    const hidden = graph.input(stream, DataType.FLOAT, ['batch', 'sequence', emitter.hiddenSize]);
    const targets = graph.input('targets', DataType.INT64, ['batch', 'sequence']);
    const losses = emitNegativeLogLikelihood(graph, emitter.emitEpilogue(graph, hidden), targets);
    outputSums(graph, losses);
  },
};

/**
 * −Σ log p(ids[t + 1] | ids[0 … t]) in nats over t = 0 … length − 2, from a sequence's final hidden
 * state. Read in slices of positions, as the logits of a long sequence can outgrow memory.
 */
export async function negativeLogLikelihood(
  executor: LayeredExecutor,
  ids: Int32Array,
  state: HiddenState,
  logitsPerRun = maxLogitsPerRun,
): Promise<number> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    return outputLoss(executor, ids, state);
  }
  const perRun = Math.max(1, Math.floor(logitsPerRun / emitter.vocabularySize));
  const predictions = ids.length - 1;
  let sum = 0;
  for (let start = 0; start < predictions; start += perRun) {
    const end = Math.min(predictions, start + perRun);
    const outputs = await executor.read(readout, {
      [stream]: rowsOf(state.values, stream, start, end),
      targets: int64Tensor(ids.subarray(start + 1, end + 1), [1, end - start]),
    });
    sum += floatsOf(outputs, 'sums')[0] ?? Number.NaN;
  }
  return sum;
}

/** The same from the output of a model that is a graph already. */
async function outputLoss(
  executor: LayeredExecutor,
  ids: Int32Array,
  state: HiddenState,
): Promise<number> {
  const logits = asRows(await executor.output(state));
  const [, rows, vocabulary] = logits.dims;
  if (rows !== ids.length) {
    const { summary } = executor.model;
    throw new UserError(
      `Perplexity needs logits for each of the ${ids.length} tokens; the output is [${logits.dims.join(', ')}].`,
      { file: summary.path, remedy: 'Evaluate a causal language model with logits as its output.' },
    );
  }
  const outputs = await executor.compute(
    {
      key: `negative-log-likelihood.${vocabulary}`,
      bytes: 0,
      build: (graph) => {
        const input = graph.input('logits', DataType.FLOAT, [1, 'sequence', vocabulary ?? 1]);
        const targets = graph.input('targets', DataType.INT64, [1, 'sequence']);
        outputSums(graph, emitNegativeLogLikelihood(graph, input, targets));
      },
    },
    {
      logits,
      targets: int64Tensor(
        Int32Array.from(ids, (_, i) => ids[i + 1] ?? -1),
        [1, ids.length],
      ),
    },
  );
  return floatsOf(outputs, 'sums')[0] ?? Number.NaN;
}

function outputSums(graph: GraphBuilder, losses: Value): void {
  const sums = graph.op('ReduceSum', [losses, graph.ints([1])], { keepdims: 0 });
  graph.output('sums', sums, DataType.FLOAT, ['batch']);
}
