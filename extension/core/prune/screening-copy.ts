import { vocabularyShare } from '../metrics/logits-readout';
import { int8Copy } from '../models/int8-copy';
import type { LayeredModel } from '../models/layered-model';
import type { DeviceName } from '../runtime/device';
import { LayeredExecutor } from '../runtime/layered-executor';
import { integerSumsAreWhole } from '../runtime/limits/integer-sums';
import { leastMemory, stateBytesPerToken } from '../runtime/memory-shares';
import { countFitting, streamedActiveShare } from '../runtime/states/batches';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';
import type { SearchSettings } from './options';
import type { BlockTerms, Slice } from '../metrics/slices';
import type { Vocabulary } from '../metrics/vocabulary-sums';
import type { Candidate } from './candidates';
import type {
  FirstMeasurement,
  OriginalObserver,
  OriginalStates,
  Scorer,
  ScorerSetup,
  ScorerUse,
} from './scorer';
import { screeningSetup } from './scorer';
import { TrajectoryScorer } from './trajectory-scorer';
import { finalShare } from './trajectory-store';

/** Number of rows for confirming a winner if candidates are compared on an int8 copy of the model. */
export const confirmedRows = 512;
/** Vocabulary size from which fewer of these rows are read over the whole vocabulary. */
const mostIds = 1 << 16;

/**
 * Number of rows on which a winner is read over the whole vocabulary: as many logits as {@link confirmedRows} of {@link mostIds}. All
 * rows if memory doesn't hold its final states, as they would be computed twice.
 */
export function wholeRows({ model, shares }: Pick<LayeredExecutor, 'model' | 'shares'>): number {
  const finals = (1 - streamedActiveShare) * finalShare;
  const isHeld = countFitting(shares, finals, stateBytesPerToken(model)) >= confirmedRows;
  const { vocabularySize = 0 } = model.summary;
  return isHeld && vocabularySize > mostIds
    ? Math.ceil((confirmedRows * mostIds) / vocabularySize)
    : confirmedRows;
}

/** Maximum share of the memory setting for the copy; the model itself uses the rest. */
const copyShare = 0.75;

/** Int8 copy of the model for comparing candidates, with the memory of the copy and of the original in bytes. */
export interface ScreeningPlan {
  readonly copy: LayeredModel;
  readonly copyBytes: number;
  readonly modelBytes: number;
}

interface Where {
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** True if several processes share the search. */
  readonly isShared: boolean;
}

/**
 * Decides whether a search compares candidates on an int8 copy of the model.
 * @returns undefined to compare them on the model itself
 * @throws UserError if int8 was requested and isn't possible
 */
export async function planScreening(
  model: LayeredModel,
  { arithmetic, mode, confidence }: Pick<SearchSettings, 'arithmetic' | 'mode' | 'confidence'>,
  where: Where,
): Promise<ScreeningPlan | undefined> {
  if (arithmetic === 'float32' || mode !== 'adaptive' || confidence === 1) {
    return undefined;
  }
  const found = tryScreening(model, where);
  if ('copy' in found) {
    // Without integer dot product instructions, int8 matmuls are slower than float32.
    return arithmetic === 'int8' || (await integerSumsAreWhole()) ? found : undefined;
  }
  if (arithmetic === 'int8') {
    throw new UserError(found.code, found.reason, {
      file: model.summary.path,
      field: 'arithmetic',
      remedy: say`Set arithmetic to float32.`,
    });
  }
  return undefined;
}

/** Executors of a model and of its int8 copy, if candidates are compared on one. */
export function searchExecutors(
  model: LayeredModel,
  plan: ScreeningPlan | undefined,
  {
    device,
    memoryBytes,
    threads,
  }: Omit<Where, 'isShared'> & { readonly threads?: number | undefined },
): { readonly executor: LayeredExecutor; readonly copy: LayeredExecutor | undefined } {
  const executor = new LayeredExecutor(model, device, plan?.modelBytes ?? memoryBytes, { threads });
  const copy =
    plan &&
    new LayeredExecutor(plan.copy, device, plan.copyBytes, {
      ...{ threads, around: executor },
      roundsHead: true,
    });
  return { executor, copy };
}

/** Plan, or the reason why int8 isn't possible. */
function tryScreening(
  model: LayeredModel,
  { device, memoryBytes, isShared }: Where,
): ScreeningPlan | { readonly code: ErrorCode; readonly reason: Message } {
  if (device !== 'cpu') {
    return {
      code: 'screening-on-cpu-only',
      reason: say`A search compares candidates in int8 on the CPU only, not on ${device}.`,
    };
  }
  if (isShared) {
    return {
      code: 'screening-search-shared',
      reason: say`A search that is divided among several processes compares candidates in float32.`,
    };
  }
  if (vocabularyShare('sampled', model.emitter?.vocabularySize) === 1) {
    return {
      code: 'screening-vocabulary-small',
      reason: say`Only language models with a large vocabulary are compared in int8.`,
    };
  }
  const copy = int8Copy(model);
  if (copy === undefined) {
    return {
      code: 'screening-not-quantizable',
      reason: say`The linear layers of the model can't be quantized to int8.`,
    };
  }
  const rest = memoryBytes - leastMemory(model, device);
  const copyBytes = Math.min(rest, memoryBytes * copyShare);
  if (copyBytes < leastMemory(copy, device, false)) {
    return {
      code: 'screening-memory-short',
      reason: say`The memory setting leaves no room for an int8 copy of two sublayers.`,
    };
  }
  return { copy, copyBytes, modelBytes: memoryBytes - copyBytes };
}

/**
 * Compares candidates on an int8 copy of the model and confirms winners on the model itself: terms over the whole
 * vocabulary are from the model, all others from the copy, relative to the copy's own original.
 */
export class ScreeningScorer implements Scorer {
  private readonly copy: TrajectoryScorer;
  private readonly model: TrajectoryScorer;
  public readonly wholeRows: number;

  public constructor(setup: ScorerSetup, { onFinal }: ScorerUse) {
    this.wholeRows = wholeRows(setup.executor);
    this.model = new TrajectoryScorer(setup);
    this.copy = new TrajectoryScorer(screeningSetup(setup), onFinal);
  }

  public get removed(): ReadonlySet<number> {
    return this.copy.removed;
  }

  public get candidatesPerPass(): number {
    return this.copy.candidatesPerPass;
  }

  public get hasBounds(): boolean {
    return this.copy.hasBounds;
  }

  public async start(
    sequences: readonly number[],
    observer?: OriginalObserver,
    first?: FirstMeasurement,
  ): Promise<OriginalStates> {
    return this.copy.start(sequences, observer, first);
  }

  public startFrom(original: OriginalStates): void {
    this.copy.startFrom(original);
  }

  public async rows(sequence: number): Promise<number> {
    return this.copy.rows(sequence);
  }

  public async terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    vocabulary: Vocabulary,
    ahead?: readonly Slice[],
  ): Promise<BlockTerms[][]> {
    if (vocabulary !== 'whole') {
      return this.copy.terms(step, candidates, slices, vocabulary, ahead);
    }
    return this.model.terms(step, candidates, slices, vocabulary);
  }

  public async modelTerms(
    step: string,
    candidate: Candidate,
    slices: readonly Slice[],
    vocabulary: Vocabulary,
  ): Promise<BlockTerms[]> {
    // Terms of the copy have the name of the step.
    const [terms = []] = await this.model.terms(`${step}.model`, [candidate], slices, vocabulary);
    return terms;
  }

  public commit(candidate: Candidate, others: readonly Candidate[]): void {
    this.copy.commit(candidate, others);
    this.model.commit(candidate, []);
  }

  public forget(): void {
    this.copy.forget();
    this.model.forget();
  }

  public end(): void {
    this.copy.end();
    this.model.end();
  }
}
