import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { stream } from '../models/model-emitter';
import { UserError } from '../user-error';
import type { LayeredExecutor } from './layered-executor';
import { Head } from './head';
import type { RowRange } from './states/states';
import { asRows, floatOutput, int64Tensor, rowsBetween } from './tensors';
import type { HiddenState, Tensor } from './tensors';
import { say } from '../message';

/** A value per token, computed from the logits that predict it, such as its negative log-likelihood. */
export interface TokenTerm {
  readonly key: string;
  /**
   * Emits float32 [batch, sequence] from `logits` [batch, sequence, vocabulary] and target ids, int64 [batch or 1,
   * sequence]; 0 for unknown targets (−1).
   */
  readonly emit: (graph: GraphBuilder, logits: Value, targets: Value) => Value;
}

/** More rows than this in one run make the head's matrix product no faster. */
const maxRows = 64;
/** Number of logit-sized arrays in use at the same time. */
const arraysPerRun = 3;

/** Logits that predict the tokens of a sequence. */
export interface TokenLogits {
  /** Rows that fit in one run. */
  readonly perRun: number;
  /** Logits [1, rows, vocabulary] of some rows; the numbers are overwritten by the next call. */
  readonly of: (rows: RowRange) => Promise<Tensor>;
}

/**
 * Sums of terms over tokens, from a sequence's final hidden state. `targets` contains the id that
 * follows each position, −1 to skip it; it may be shorter than the sequence. Computed in slices of
 * positions, because the logits of a long sequence may not fit in memory.
 */
export async function sumOverTokens(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
  terms: readonly TokenTerm[],
  rowsPerRun = maxRows,
): Promise<number[]> {
  const logits = await tokenLogits(executor, targets, state, rowsPerRun);
  const sums = terms.map(() => 0);
  for (const rows of predictedRows(targets, logits.perRun)) {
    const next = targets.subarray(rows.start, rows.end);
    const given = await logits.of(rows);
    for (const [i, term] of terms.entries()) {
      const values = await termValues(executor, term, given, next);
      sums[i] = values.reduce((sum, value) => sum + value, sums[i] ?? 0);
    }
  }
  return sums;
}

/** Up to `perRun` rows at a time, starting at the first row with a known target. */
export function predictedRows(targets: Int32Array, perRun: number): RowRange[] {
  const first = Math.max(
    0,
    targets.findIndex((id) => id >= 0),
  );
  return Array.from({ length: Math.ceil((targets.length - first) / perRun) }, (_, i) => {
    const start = first + i * perRun;
    return { start, end: Math.min(targets.length, start + perRun) };
  });
}

/** Logits from a final hidden state: all at once for a graph, on request for other models. */
export async function tokenLogits(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
  rowsPerRun = maxRows,
): Promise<TokenLogits> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    const logits = await outputLogits(executor, targets, state);
    return {
      perRun: Math.max(1, targets.length),
      of: ({ start, end }) => Promise.resolve(rowsBetween(logits, start, end)),
    };
  }
  const bytesPerRow = emitter.vocabularySize * Float32Array.BYTES_PER_ELEMENT * arraysPerRun;
  const fitting = Math.floor(executor.shares.readoutBytes / bytesPerRow);
  const head = Head.of(executor, emitter);
  return {
    perRun: Math.max(1, Math.min(rowsPerRun, fitting)),
    of: async (wanted) => {
      const rows = await executor.states.join([state], stream, wanted);
      const logits = await head.logits(rows);
      executor.states.letGo(rows);
      return logits;
    },
  };
}

/** @throws UserError if a graph does not give logits of each token. */
async function outputLogits(
  executor: LayeredExecutor,
  targets: Int32Array,
  state: HiddenState,
): Promise<Tensor> {
  const logits = asRows(await executor.output(state));
  const [, rows = 0] = logits.dims;
  // The last position may predict a token that is not known, and so have no target.
  if (rows < targets.length || rows > targets.length + 1) {
    const { summary } = executor.model;
    throw new UserError(
      'logits-shape-mismatch',
      say`Logits are required for each of the ${targets.length} predictions; the output is [${logits.dims.join(', ')}].`,
      {
        file: summary.path,
        remedy: say`Choose a causal language model with logits as its output.`,
      },
    );
  }
  return logits;
}

/**
 * One term for each row of logits [1, rows, vocabulary].
 * @param targets id of the token after each row, −1 to skip it (its value is then 0)
 * @returns float32 [rows]
 */
export async function termValues(
  executor: LayeredExecutor,
  { key, emit }: TokenTerm,
  logits: Tensor,
  targets: Int32Array,
): Promise<Float32Array> {
  const [, rows = 0, vocabulary = 0] = logits.dims;
  const outputs = await executor.compute(
    {
      key: `${key}.${vocabulary}`,
      keepMemory: true,
      build: (builder: GraphBuilder) => {
        const input = builder.input('logits', DataType.FLOAT, [1, 'sequence', vocabulary]);
        const wanted = builder.input('targets', DataType.INT64, [1, 'sequence']);
        builder.output('values', emit(builder, input, wanted), DataType.FLOAT);
      },
    },
    { logits, targets: int64Tensor(targets, [1, rows]) },
  );
  return floatOutput(outputs, 'values');
}
