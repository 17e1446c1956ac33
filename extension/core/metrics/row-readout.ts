import { predictedIds, targetStartId } from '../models/example';
import type { LayeredModel } from '../models/layered-model';
import { AnsweredIds } from '../models/model-input';
import type { ModelInput } from '../models/model-input';
import type { HiddenState } from '../runtime/tensors';
import type { Metric } from './metrics';
import type { Vocabulary } from './vocabulary';

/** Rows `from` to `to` of an example's output; of a language model, its tokens. */
export interface Rows {
  readonly from: number;
  readonly to: number;
}

/** Awaited after each run of ONNX Runtime, which blocks the thread; may throw to stop. */
export type AfterRun = () => Promise<void>;

/** Measures candidates' final states against the original's. */
export abstract class MetricReadout {
  /** What terms are taken over: the whole vocabulary where a model or a metric has nothing else. */
  public readonly vocabulary: Vocabulary = 'whole';

  public constructor(protected readonly metric: Metric) {}

  /**
   * Each candidate's term of each row; of all rows unless some are named. States may end behind the
   * last row that is read.
   */
  public abstract rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows?: Rows,
    afterRun?: AfterRun,
  ): Promise<Float32Array[]>;

  /** Rows of the output that an example's terms are summed over: tokens of a language model. */
  public abstract rows(input: ModelInput, original: HiddenState): Promise<number>;

  /** Gives back what is kept of the original: nothing need be read again soon. */
  public end(): void {
    // Most keep nothing.
  }

  /** Each candidate's term for one example, see {@link Metric.sequenceTerm}. */
  public async terms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
  ): Promise<number[]> {
    const terms = await this.rowTerms(input, original, candidates);
    return terms.map((rows) => this.metric.sequenceTerm(rows.reduce((sum, term) => sum + term, 0)));
  }
}

/** The first row of an output whose next token is asked for. */
export const firstAsked = (model: LayeredModel, input: ModelInput): number =>
  targetStartId(model) === undefined && input instanceof AnsweredIds ? input.answerFrom - 1 : 0;

/** The ids behind some rows of an output of `rows`, −1 where none is known or asked for. */
export function nextTokens(
  model: LayeredModel,
  input: ModelInput,
  rows: number,
  { from, to }: Rows,
): Int32Array {
  const ids = predictedIds(model, input);
  const known = ids.length === rows - 1 ? ids : new Int32Array();
  const first = firstAsked(model, input);
  return Int32Array.from({ length: to - from }, (_, i) =>
    from + i < first ? -1 : (known[from + i] ?? -1),
  );
}
