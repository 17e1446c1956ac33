import type { Cancellation } from '../jobs/job';
import type { ModelInput } from '../models/model-input';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { explainNonFinite } from '../runtime/non-finite';
import { isFiniteState } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import type { MetricName, Metric } from '../metrics/metrics';
import type { SearchWork } from './search-work';
import { prefixTokens } from '../metrics/slices';
import type { BlockTerms, Slice } from '../metrics/slices';
import type { SearchMemo } from './search-memo';
import type { Vocabulary } from '../metrics/vocabulary-sums';

/** Model, inputs and metric of a scorer. */
export interface ScorerSetup {
  readonly executor: LayeredExecutor;
  /**
   * Runs an int8 copy of the model, on which an adaptive search compares candidates; absent if it uses the model
   * itself.
   */
  readonly copy?: LayeredExecutor | undefined;
  /** Model inputs: token ids of equal length, or examples. */
  readonly sequences: readonly ModelInput[];
  /** Names of the texts if sequences alternate between several. */
  readonly texts?: readonly string[] | undefined;
  readonly metricName: MetricName;
  readonly metric: Metric;
  readonly memo: SearchMemo;
  readonly work: SearchWork;
  readonly cancellation: Cancellation;
  /** True if the model without these units can be written; by default always true. */
  readonly isWritable?: ((ids: readonly string[]) => Promise<boolean>) | undefined;
  /** Called after every run of ONNX Runtime. */
  readonly onWork: () => void;
  /** Creates scorers that run on several workers; absent if all work runs in this process. */
  readonly share?: ((use: ScorerUse) => Scorer) | undefined;
}

/** Purpose of a scorer. */
export interface ScorerUse {
  /** Unique name within the search. */
  readonly line: string;
  /** True if it shares no state between candidates. */
  readonly naive?: boolean;
  /** True if candidates are compared on the int8 copy of the model, if there is one. */
  readonly screens?: boolean;
  /** Called with final states, at least those of the first sequence. */
  readonly onFinal?: FinalObserver | undefined;
}

/** Final states of the original, by sequence. */
export type OriginalStates = ReadonlyMap<number, HiddenState>;

/** Called with the hidden states before and after each sublayer of the original, for each sequence. */
export type SublayerObserver = (
  index: number,
  before: HiddenState,
  after: HiddenState,
) => Promise<void>;

/**
 * Called with the final state of a slice for the model without a candidate and all earlier removals: a view of the rows of
 * a longer state, or on a device, so it must copy what it stores.
 */
export type FinalObserver = (
  candidate: Candidate,
  slice: Slice,
  state: HiddenState,
) => Promise<void>;

/** Sums over the tokens of some sequences, by sublayer. */
export interface CosineSums {
  readonly sums: readonly number[];
  readonly tokens: readonly number[];
}

/** Observes the original's sublayers, in this process or from a worker's sums. */
export interface OriginalObserver {
  readonly observe: SublayerObserver;
  readonly add: (sums: CosineSums) => void;
}

/** Setup of the model on which candidates are compared: the int8 copy, if there is one. */
export function screeningSetup({ copy, ...setup }: ScorerSetup): ScorerSetup {
  return copy === undefined ? setup : { ...setup, executor: copy, work: setup.work.copy };
}

/** Input with this sequence index. */
export function sequenceInput(
  { sequences }: Pick<ScorerSetup, 'sequences'>,
  index: number,
): ModelInput {
  return sequences[index] ?? new Int32Array();
}

/** Number of tokens of a sequence that can be run in parts, otherwise 0. */
export function tokensIn(
  setup: Pick<ScorerSetup, 'executor' | 'sequences'>,
  sequence: number,
): number {
  return prefixTokens(setup.executor.model, sequenceInput(setup, sequence));
}

/** @throws UserError if outputs are not finite: distances to them are meaningless, and the weights are at fault. */
export async function refuseNonFinite(
  setup: Pick<ScorerSetup, 'executor' | 'sequences'>,
  original: OriginalStates,
): Promise<void> {
  for (const [sequence, state] of original) {
    if (!isFiniteState(state)) {
      throw await explainNonFinite(setup.executor, sequenceInput(setup, sequence));
    }
  }
}

/** Candidates and slices that are measured first. */
export interface FirstMeasurement {
  readonly step: string;
  readonly candidates: readonly Candidate[];
  readonly slices: readonly Slice[];
  readonly vocabulary: Vocabulary;
  /** Slices that may be needed next. */
  readonly ahead: readonly Slice[];
}

/** Measures candidates on top of the current removals. */
export interface Scorer {
  /** Removed units. */
  readonly removed: ReadonlySet<number>;
  /** Preferred number of candidates per request. */
  readonly candidatesPerPass: number;
  /** True if a part of the vocabulary gives lower bounds of terms; otherwise `bounded` terms use all of it. */
  readonly hasBounds: boolean;
  /**
   * Runs the original on some sequences. Required for each sequence before measuring, unless {@link Scorer.startFrom}
   * provides its states.
   * @param first measured in the same pass if each pass opens sessions again, so that terms of it are known afterwards
   * @returns final states of sequences that were run in this process
   * @throws UserError if they are not finite
   */
  start(
    sequences: readonly number[],
    observer?: OriginalObserver,
    first?: FirstMeasurement,
  ): Promise<OriginalStates>;
  /** Uses the final states of the original from another scorer. */
  startFrom(original: OriginalStates): void;
  /** Number of rows of the original's output for a sequence. */
  rows(sequence: number): Promise<number>;
  /**
   * Terms of each candidate on the given slices, in the same order.
   * @param ahead slices that the same candidates may be measured on next, so that workers can start early and passes that
   *   open sessions can include them
   */
  terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    vocabulary: Vocabulary,
    ahead?: readonly Slice[],
  ): Promise<BlockTerms[][]>;
  /**
   * Terms of a candidate on the model itself, if {@link Scorer.terms} are those of an int8 copy unless they are over the whole
   * vocabulary.
   */
  readonly modelTerms?: (
    step: string,
    candidate: Candidate,
    slices: readonly Slice[],
    vocabulary: Vocabulary,
  ) => Promise<BlockTerms[]>;
  /** Rows on which a winner is read over the whole vocabulary, of those that confirm it; all if absent. */
  readonly wholeRows?: number;
  /** Removes a candidate permanently; `others` may be measured again. */
  commit(candidate: Candidate, others: readonly Candidate[]): void;
  /** Drops cached states of candidates. */
  forget(): void;
  /** Drops all cached states after the last measurement. */
  end(): void;
}
