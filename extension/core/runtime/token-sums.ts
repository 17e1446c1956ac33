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
 * Sum of a term over tokens, from a sequence's final hidden state. `targets` holds the id that comes
 * next behind each position, −1 where it does not count; it may end before the sequence does. Read
 * in slices of positions, as the logits of a long sequence can outgrow memory.
 */
export async function sumOverTokens(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
  { key, emit }: TokenTerm,
  logitsPerRun = maxLogitsPerRun,
): Promise<number> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    return sumOverOutput(executor, targets, state, { key, emit });
  }
  const perRun = Math.max(1, Math.floor(logitsPerRun / emitter.vocabularySize));
  const first = targets.findIndex((id) => id >= 0);
  let sum = 0;
  for (let start = Math.max(0, first); start < targets.length; start += perRun) {
    const end = Math.min(targets.length, start + perRun);
    const outputs = await executor.read(
      {
        key,
        build: (graph) => {
          const shape = ['batch', 'sequence', emitter.hiddenSize];
          const hidden = graph.input(stream, DataType.FLOAT, shape);
          const next = graph.input('targets', DataType.INT64, ['batch', 'sequence']);
          outputSums(graph, emit(graph, emitter.emitEpilogue(graph, hidden), next));
        },
      },
      {
        [stream]: rowsOf(state.values, stream, start, end),
        targets: int64Tensor(targets.subarray(start, end), [1, end - start]),
      },
    );
    sum += floatsOf(outputs, 'sums')[0] ?? Number.NaN;
  }
  return sum;
}

/** The same from the output of a model that is a graph already. */
async function sumOverOutput(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
  { key, emit }: TokenTerm,
): Promise<number> {
  const logits = asRows(await executor.output(state));
  const [, rows = 0, vocabulary] = logits.dims;
  // The last position may predict a token that is not known, and so have no target.
  if (rows < targets.length || rows > targets.length + 1) {
    const { summary } = executor.model;
    throw new UserError(
      `Logits are needed for each of the ${targets.length} predictions; the output is [${logits.dims.join(', ')}].`,
      { file: summary.path, remedy: 'Choose a causal language model with logits as its output.' },
    );
  }
  const outputs = await executor.compute(
    {
      key: `${key}.${vocabulary}`,
      bytes: 0,
      build: (graph) => {
        const input = graph.input('logits', DataType.FLOAT, [1, 'sequence', vocabulary ?? 1]);
        const next = graph.input('targets', DataType.INT64, [1, 'sequence']);
        outputSums(graph, emit(graph, input, next));
      },
    },
    {
      logits,
      targets: int64Tensor(
        Int32Array.from({ length: rows }, (_, i) => targets[i] ?? -1),
        [1, rows],
      ),
    },
  );
  return floatsOf(outputs, 'sums')[0] ?? Number.NaN;
}

function outputSums(graph: GraphBuilder, terms: Value): void {
  const sums = graph.op('ReduceSum', [terms, graph.ints([1])], { keepdims: 0 });
  graph.output('sums', sums, DataType.FLOAT, ['batch']);
}
