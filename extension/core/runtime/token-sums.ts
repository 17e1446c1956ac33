import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { stream } from '../models/model-emitter';
import { UserError } from '../user-error';
import type { LayeredExecutor } from './layered-executor';
import { Head } from './head';
import { asRows, floatsOf, int64Tensor } from './tensors';
import type { HiddenState, Tensor } from './tensors';
import { say } from '../message';

/** A number for each token, from the logits in front of it. */
export interface TokenTerm {
  readonly key: string;
  /**
   * Emits float32 [batch, sequence] from `logits` [batch, sequence, vocabulary] and the ids that
   * come next, int64 [batch or 1, sequence]; 0 where the id is −1, unknown.
   */
  readonly emit: (graph: GraphBuilder, logits: Value, targets: Value) => Value;
}

/** More rows than this in one run make the head's matrix product no faster. */
const maxRows = 64;
/** Arrays of the size of the logits that are in use at once. */
const arraysPerRun = 3;

/**
 * Sums of terms over tokens, from a sequence's final hidden state. `targets` holds the id that comes
 * next behind each position, −1 where it does not count; it may end before the sequence does. Read
 * in slices of positions, as the logits of a long sequence can outgrow memory.
 */
export async function sumsOverTokens(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
  terms: readonly TokenTerm[],
  rowsPerRun = maxRows,
): Promise<number[]> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    return sumsOverOutput(executor, targets, state, terms);
  }
  const { vocabularySize } = emitter;
  const bytesPerRow = vocabularySize * Float32Array.BYTES_PER_ELEMENT * arraysPerRun;
  const fitting = Math.floor(executor.shares.readoutBytes / bytesPerRow);
  const perRun = Math.max(1, Math.min(rowsPerRun, fitting));
  const head = Head.of(executor, emitter);
  const first = targets.findIndex((id) => id >= 0);
  const sums = terms.map(() => 0);
  for (let start = Math.max(0, first); start < targets.length; start += perRun) {
    const end = Math.min(targets.length, start + perRun);
    const rows = await executor.states.join([state], stream, { start, end });
    const logits = await head.logits(rows);
    executor.states.letGo(rows);
    const found = await termSums(executor, terms, logits, targets.subarray(start, end));
    found.forEach((sum, i) => {
      sums[i] = (sums[i] ?? 0) + sum;
    });
  }
  return sums;
}

/** The same from the output of a model that is a graph already. */
async function sumsOverOutput(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
  terms: readonly TokenTerm[],
): Promise<number[]> {
  const logits = asRows(await executor.output(state));
  const [, rows = 0] = logits.dims;
  // The last position may predict a token that is not known, and so have no target.
  if (rows < targets.length || rows > targets.length + 1) {
    const { summary } = executor.model;
    throw new UserError(
      say`Logits are needed for each of the ${targets.length} predictions; the output is [${logits.dims.join(', ')}].`,
      {
        file: summary.path,
        remedy: say`Choose a causal language model with logits as its output.`,
      },
    );
  }
  const padded = Int32Array.from({ length: rows }, (_, i) => targets[i] ?? -1);
  return termSums(executor, terms, logits, padded);
}

/** Sums over rows of logits [1, rows, vocabulary]. */
async function termSums(
  executor: LayeredExecutor,
  terms: readonly TokenTerm[],
  logits: Tensor,
  targets: Int32Array,
): Promise<number[]> {
  const [, rows = 0, vocabulary = 0] = logits.dims;
  const next = int64Tensor(targets, [1, rows]);
  const sums: number[] = [];
  for (const { key, emit } of terms) {
    const graph = {
      key: `${key}.${vocabulary}`,
      keepMemory: true,
      build: (builder: GraphBuilder) => {
        const input = builder.input('logits', DataType.FLOAT, [1, 'sequence', vocabulary]);
        const wanted = builder.input('targets', DataType.INT64, [1, 'sequence']);
        const all = builder.op('ReduceSum', [emit(builder, input, wanted)], { keepdims: 0 });
        builder.output('sum', all, DataType.FLOAT, []);
      },
    };
    const outputs = await executor.compute(graph, { logits, targets: next });
    sums.push(floatsOf(outputs, 'sum')[0] ?? Number.NaN);
  }
  return sums;
}
