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
import type { Vocabulary } from '../metrics/vocabulary';

/** What a scorer works with. */
export interface ScorerSetup {
  readonly executor: LayeredExecutor;
  /** Runs an int8 copy of the model, on which an adaptive search compares candidates; absent if it uses the model itself. */
  readonly copy?: LayeredExecutor | undefined;
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
  /** Makes scorers whose work is shared out among workers; absent where this process does all. */
  readonly share?: ((use: ScorerUse) => Scorer) | undefined;
}

/** What a scorer is made for. */
export interface ScorerUse {
  /** Tells it from others of the same search. */
  readonly line: string;
  /** Whether it shares no state between candidates. */
  readonly naive?: boolean;
  /** Whether candidates are compared on the int8 copy of the model, if there is one. */
  readonly screens?: boolean;
  /** Sees final states: of the first sequence at least. */
  readonly onFinal?: FinalObserver | undefined;
}

/** The original's final states, by sequence. */
export type OriginalStates = ReadonlyMap<number, HiddenState>;

/** Sees what each sublayer of the original does to each sequence's hidden states. */
export type SublayerObserver = (
  index: number,
  before: HiddenState,
  after: HiddenState,
) => Promise<void>;

/** Sees the final state of a slice without a candidate and all that is removed; copies what it keeps. */
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

/** Learns what the original's sublayers do, here or from who ran them. */
export interface OriginalObserver {
  readonly observe: SublayerObserver;
  readonly add: (sums: CosineSums) => void;
}

/** The setup of the model that candidates are compared on: the int8 copy, if there is one. */
export function screeningSetup({ copy, ...setup }: ScorerSetup): ScorerSetup {
  return { ...setup, executor: copy ?? setup.executor };
}

/** What sequence `index` of a setup is. */
export function sequenceOf(
  { sequences }: Pick<ScorerSetup, 'sequences'>,
  index: number,
): ModelInput {
  return sequences[index] ?? new Int32Array();
}

/** Tokens of a sequence that can be run in parts, else 0. */
export function tokensIn(
  setup: Pick<ScorerSetup, 'executor' | 'sequences'>,
  sequence: number,
): number {
  return prefixTokens(setup.executor.model, sequenceOf(setup, sequence));
}

/** Distances to numbers that are not finite mean nothing: the fault is in the weights. */
export async function refuseNonFinite(
  setup: Pick<ScorerSetup, 'executor' | 'sequences'>,
  original: OriginalStates,
): Promise<void> {
  for (const [sequence, state] of original) {
    if (!isFiniteState(state)) {
      throw await explainNonFinite(setup.executor, sequenceOf(setup, sequence));
    }
  }
}

/** Measures candidates on top of what has been removed so far. */
export interface Scorer {
  /** Units removed so far. */
  readonly removed: ReadonlySet<number>;
  /** How many candidates to ask for at once where there is a choice. */
  readonly candidatesPerPass: number;
  /** Whether a part of the vocabulary bounds terms from below; where not, `bounded` terms are those of all of it. */
  readonly hasBounds: boolean;
  /**
   * Runs the original on some sequences; this or {@link Scorer.startFrom} must come first for each.
   * @returns final states of those that were run in this process
   * @throws UserError where they are not finite
   */
  start(sequences: readonly number[], observer?: OriginalObserver): Promise<OriginalStates>;
  /** Takes the final states of another scorer's runs of the original. */
  startFrom(original: OriginalStates): void;
  /** Rows of the original's output for a sequence. */
  rows(sequence: number): Promise<number>;
  /**
   * Terms of each candidate on the given slices, in the same order.
   * @param ahead slices that the same candidates may be asked for next, so that nobody need wait
   */
  terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    vocabulary: Vocabulary,
    ahead?: readonly Slice[],
  ): Promise<BlockTerms[][]>;
  /** Removes a candidate for good; `others` are those that may be asked for again. */
  commit(candidate: Candidate, others: readonly Candidate[]): void;
  /** Forgets what is kept of candidates that will not be asked for again. */
  forget(): void;
  /** Forgets all that is kept: nothing will be asked for again. */
  end(): void;
}
