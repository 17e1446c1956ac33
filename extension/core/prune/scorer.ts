import type { Cancellation } from '../jobs/job';
import type { ModelInput } from '../models/example';
import type { LayeredExecutor } from '../runtime/layered-executor';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import type { MetricName } from '../metrics/metric-names';
import type { MetricReadout } from '../metrics/metric-readout';
import type { Metric } from '../metrics/metrics';
import type { TermMemo } from './term-memo';

/** What a scorer works with. */
export interface ScorerSetup {
  readonly executor: LayeredExecutor;
  /** What the model is run on: token ids of equal length, or examples. */
  readonly sequences: readonly ModelInput[];
  readonly metricName: MetricName;
  readonly metric: Metric;
  readonly memo: TermMemo;
  readonly cancellation: Cancellation;
  /** Called after every run of ONNX Runtime. */
  readonly onWork: () => void;
}

/** The original's final states, by sequence. */
export type OriginalStates = readonly HiddenState[];

/** Sees what each sublayer of the original does to each sequence's hidden states. */
export type SublayerObserver = (index: number, before: HiddenState, after: HiddenState) => void;

/** What sequence `index` of a setup is. */
export function sequenceOf({ sequences }: ScorerSetup, index: number): ModelInput {
  return sequences[index] ?? new Int32Array();
}

/** Mean number of rows of the original's output. */
export async function meanRows(
  readout: MetricReadout,
  setup: ScorerSetup,
  original: OriginalStates,
): Promise<number> {
  let rows = 0;
  for (const [index, state] of original.entries()) {
    rows += await readout.rows(sequenceOf(setup, index), state);
  }
  return rows / Math.max(1, original.length);
}

/** Measures candidates on top of what has been removed so far. */
export interface Scorer {
  /** Sublayers removed so far. */
  readonly removed: ReadonlySet<number>;
  /** How many candidates to ask for at once where there is a choice. */
  readonly candidatesPerPass: number;
  /** Runs the original; this or {@link Scorer.startFrom} must come first. */
  start(observe?: SublayerObserver): Promise<OriginalStates>;
  /** Takes the final states of another scorer's run of the original. */
  startFrom(original: OriginalStates): void;
  /** Mean number of rows over which an example's terms are summed: tokens of a language model. */
  rowsPerSequence(): Promise<number>;
  /** Terms of each candidate on the given sequences, in the same order. */
  terms(
    step: string,
    candidates: readonly Candidate[],
    sequences: readonly number[],
  ): Promise<number[][]>;
  /** Removes a candidate for good; `others` are those that may be asked for again. */
  commit(candidate: Candidate, others: readonly Candidate[]): void;
}
