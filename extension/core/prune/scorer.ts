import type { Cancellation } from '../jobs/job';
import type { ModelInput } from '../models/model-input';
import type { LayeredExecutor } from '../runtime/layered-executor';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import type { MetricName, Metric } from '../metrics/metrics';
import type { SearchWork } from './search-work';
import type { BlockTerms, Slice } from '../metrics/slices';
import type { SearchMemo } from './search-memo';
import type { Vocabulary } from '../metrics/vocabulary';

/** What a scorer works with. */
export interface ScorerSetup {
  readonly executor: LayeredExecutor;
  /** What the model is run on: token ids of equal length, or examples. */
  readonly sequences: readonly ModelInput[];
  /** Names of the texts whose sequences take turns; one text when absent. */
  readonly texts?: readonly string[] | undefined;
  readonly metricName: MetricName;
  readonly metric: Metric;
  readonly memo: SearchMemo;
  readonly work: SearchWork;
  readonly cancellation: Cancellation;
  /** Whether what is left without these units can be written; all can when absent. */
  readonly isWritable?: ((ids: readonly string[]) => Promise<boolean>) | undefined;
  /** Called after every run of ONNX Runtime. */
  readonly onWork: () => void;
}

/** The original's final states, by sequence. */
export type OriginalStates = ReadonlyMap<number, HiddenState>;

/** Sees what each sublayer of the original does to each sequence's hidden states. */
export type SublayerObserver = (index: number, before: HiddenState, after: HiddenState) => void;

/** What sequence `index` of a setup is. */
export function sequenceOf({ sequences }: ScorerSetup, index: number): ModelInput {
  return sequences[index] ?? new Int32Array();
}

/** Measures candidates on top of what has been removed so far. */
export interface Scorer {
  /** Units removed so far. */
  readonly removed: ReadonlySet<number>;
  /** How many candidates to ask for at once where there is a choice. */
  readonly candidatesPerPass: number;
  /** Runs the original on some sequences; this or {@link Scorer.startFrom} must come first for each. */
  start(sequences: readonly number[], observe?: SublayerObserver): Promise<OriginalStates>;
  /** Takes the final states of another scorer's runs of the original. */
  startFrom(original: OriginalStates): void;
  /** Rows of the original's output for a sequence. */
  rows(sequence: number): Promise<number>;
  /** Terms of each candidate on the given slices, in the same order. */
  terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    vocabulary: Vocabulary,
  ): Promise<BlockTerms[][]>;
  /** Removes a candidate for good; `others` are those that may be asked for again. */
  commit(candidate: Candidate, others: readonly Candidate[]): void;
}
