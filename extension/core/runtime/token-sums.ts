import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { stream } from '../models/model-emitter';
import { UserError } from '../user-error';
import type { LayeredExecutor } from './layered-executor';
import { asRows, floatsOf, int64Tensor, rowsOf } from './tensors';
import type { HiddenState } from './tensors';

/** A number for each token, from the logits in front of it. */
export interface TokenTerm {
  readonly key: string;
  /**
   * Emits float32 [batch, sequence] from `logits` [batch, sequence, vocabulary] and the ids that
   * come next, int64 [batch or 1, sequence]; 0 where the id is −1, unknown.
   */
  readonly emit: (graph: GraphBuilder, logits: Value, targets: Value) => Value;
}

/** Most logits held at once, in elements. */
const maxLogitsPerRun = 1 << 24;

/**
 * Sum of a term over the predictions of ids[1], ids[2], …, from a sequence's final hidden state.
 * Read in slices of positions, as the logits of a long sequence can outgrow memory.
 */
export async function sumOverTokens(
  executor: LayeredExecutor,
  ids: Int32Array,
  state: HiddenState,
  { key, emit }: TokenTerm,
  logitsPerRun = maxLogitsPerRun,
): Promise<number> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    return sumOverOutput(executor, ids, state, { key, emit });
  }
  const perRun = Math.max(1, Math.floor(logitsPerRun / emitter.vocabularySize));
  const predictions = ids.length - 1;
  let sum = 0;
  for (let start = 0; start < predictions; start += perRun) {
    const end = Math.min(predictions, start + perRun);
    const outputs = await executor.read(
      {
        key,
        build: (graph) => {
          const shape = ['batch', 'sequence', emitter.hiddenSize];
          const hidden = graph.input(stream, DataType.FLOAT, shape);
          const targets = graph.input('targets', DataType.INT64, ['batch', 'sequence']);
          outputSums(graph, emit(graph, emitter.emitEpilogue(graph, hidden), targets));
        },
      },
      {
        [stream]: rowsOf(state.values, stream, start, end),
        targets: int64Tensor(ids.subarray(start + 1, end + 1), [1, end - start]),
      },
    );
    sum += floatsOf(outputs, 'sums')[0] ?? Number.NaN;
  }
  return sum;
}

/** The same from the output of a model that is a graph already. */
async function sumOverOutput(
  executor: LayeredExecutor,
  ids: Int32Array,
  state: HiddenState,
  { key, emit }: TokenTerm,
): Promise<number> {
  const logits = asRows(await executor.output(state));
  const [, rows, vocabulary] = logits.dims;
  if (rows !== ids.length) {
    const { summary } = executor.model;
    throw new UserError(
      `Logits are needed for each of the ${ids.length} tokens; the output is [${logits.dims.join(', ')}].`,
      { file: summary.path, remedy: 'Choose a causal language model with logits as its output.' },
    );
  }
  const outputs = await executor.compute(
    {
      key: `${key}.${vocabulary}`,
      bytes: 0,
      build: (graph) => {
        const input = graph.input('logits', DataType.FLOAT, [1, 'sequence', vocabulary ?? 1]);
        const targets = graph.input('targets', DataType.INT64, [1, 'sequence']);
        outputSums(graph, emit(graph, input, targets));
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

function outputSums(graph: GraphBuilder, terms: Value): void {
  const sums = graph.op('ReduceSum', [terms, graph.ints([1])], { keepdims: 0 });
  graph.output('sums', sums, DataType.FLOAT, ['batch']);
}
