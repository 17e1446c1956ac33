import { predictedIds, targetStartId } from '../models/example';
import type { LayeredModel } from '../models/layered-model';
import { AnsweredIds } from '../models/model-input';
import type { ModelInput } from '../models/model-input';
import type { HiddenState } from '../runtime/tensors';
import type { Metric } from './metrics';
import type { Vocabulary } from './vocabulary-sums';

/** Rows `from` to `to` of an example's output; rows are tokens for a language model. */
export interface Rows {
  readonly from: number;
  readonly to: number;
}

/** Awaited after each run of ONNX Runtime, which blocks the thread; may throw to stop. */
export type AfterRun = () => Promise<void>;

/** Compares the final states of candidates with the original's. */
export abstract class MetricReadout {
  /** Ids that terms are summed over; `whole` if the model or metric doesn't support another vocabulary. */
  public readonly vocabulary: Vocabulary = 'whole';

  public constructor(protected readonly metric: Metric) {}

  /**
   * Term of each row for each candidate, by default for all rows. States may end after the last row that is read.
   */
  public abstract rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows?: Rows,
    afterRun?: AfterRun,
  ): Promise<Float32Array[]>;

  /** Number of output rows that an example's terms are summed over: tokens of a language model. */
  public abstract rows(input: ModelInput, original: HiddenState): Promise<number>;

  /** Releases cached data of the original. */
  public end(): void {
    // Nothing is cached by default.
  }

  /** Term of each candidate for one example, see {@link Metric.sequenceTerm}. */
  public async terms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
  ): Promise<number[]> {
    const terms = await this.rowTerms(input, original, candidates);
    return terms.map((rows) => this.metric.sequenceTerm(rows.reduce((sum, term) => sum + term, 0)));
  }
}

/** First output row whose next token is part of the answer. */
export const firstAnswerRow = (model: LayeredModel, input: ModelInput): number =>
  targetStartId(model) === undefined && input instanceof AnsweredIds ? input.answerFrom - 1 : 0;

/** Next token ids of some rows of an output with `rows` rows; −1 if unknown or not part of the answer. */
export function nextTokens(
  model: LayeredModel,
  input: ModelInput,
  rows: number,
  { from, to }: Rows,
): Int32Array {
  const ids = predictedIds(model, input);
  const known = ids.length === rows - 1 ? ids : new Int32Array();
  const first = firstAnswerRow(model, input);
  return Int32Array.from({ length: to - from }, (_, i) =>
    from + i < first ? -1 : (known[from + i] ?? -1),
  );
}
