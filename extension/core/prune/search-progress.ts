import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { CalibrationSummary } from '../data/calibration';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { say } from '../message';
import type { Message } from '../message';
import { expectedWork, sumSizes } from './expected-work';
import type { ExpectedWork, SplitAmount } from './expected-work';
import type { CandidateDistance, ProfileEvent, Round } from './layer-profile';
import type { BaselineName, SearchSettings } from './options';
import { addWork, combineWork, noWork, scaleWork, SearchRates, spentWork } from './search-rates';
import type { SearchExecutors, WorkByKind } from './search-rates';
import type { SearchWork } from './search-work';

/** Minimum interval of reports, in milliseconds. */
const interval = 100;
/** Number of measured rounds that have the same weight as the expectation before any is measured. */
const priorRounds = 2;
/** Minimum seconds of work that rates are measured on before they give an estimate. */
const minMeasured = 3;

/** What a search works with and what is known in advance. */
interface ProgressOptions extends Partial<SearchExecutors> {
  /** True if the search itself is done, so that only its refinement or baselines remain. */
  readonly isSearched?: boolean;
  /** Returns the seconds of what follows the search, from those of a token of the original and of the pruned model. */
  readonly secondsAfter?: ((original: number, pruned: number) => number) | undefined;
}

/** Called as results become known. Rounds count from 1. */
export interface SearchListener {
  onCosineLocal(distances: readonly CandidateDistance[]): void;
  onCandidate(round: number, distance: CandidateDistance): void;
  onRound(round: number, result: Round): void;
  /** Called after `measured` of at most `most` sets of a refinement. */
  onRefining(measured: number, most: number): void;
  onBaseline(name: BaselineName, rounds: readonly Round[]): void;
  /** Called before each round with its description. */
  onStage(stage: Message): void;
}

/** Converts events of a search to progress and partial results, with an estimate of the total. */
export class SearchProgress implements SearchListener {
  private stage = say`Original`;
  private reported = 0;
  /** Largest reported share of the whole, so that progress never moves backwards. */
  private share = 0;
  /** Work of the finished rounds after the first, each divided by its size. */
  private readonly laterRounds: WorkByKind[] = [];
  private readonly measuredBaselines = new Set<BaselineName>();
  private readonly expected: ExpectedWork;
  private readonly sublayers: number;
  private readonly rates: SearchRates;
  /** Work before the current part of the search, and the expected work of this part and of all later ones. */
  private before = noWork;
  private current: WorkByKind;
  private ahead: WorkByKind;
  private isRefined = false;
  /** True while the first steps run, which are too few to measure a rate. */
  private isStarting = true;

  public constructor(
    settings: SearchSettings,
    { summary }: LayeredModel,
    private readonly work: SearchWork,
    private readonly calibration: Pick<CalibrationSummary, 'sequences' | 'tokens'>,
    private readonly context: JobContext<ProfileEvent>,
    private readonly options: ProgressOptions = {},
  ) {
    this.expected = expectedWork(settings, summary, calibration.tokens, options);
    this.sublayers = summary.sublayers.length;
    this.rates = new SearchRates(work, options);
    this.current = this.workOf(this.expected.first);
    this.ahead = addWork(this.laterWork(2), this.afterRounds());
  }

  public report(force = false): void {
    this.rates.update();
    const now = performance.now();
    if (!force && now - this.reported < interval) {
      return;
    }
    this.reported = now;
    const left = this.rates.secondsFor(this.left);
    this.share = Math.max(this.share, this.shareDone(left));
    const isMeasured = !this.isStarting && this.rates.seconds >= minMeasured;
    const { cost } = this.work;
    this.context.progress({
      stage: this.stage,
      done: Math.round(cost),
      total: Math.round(this.share === 0 ? this.expectedCost : cost / this.share),
      unit: 'steps',
      isWarmingUp: !isMeasured,
      ...(isMeasured ? { secondsLeft: left + this.secondsAfter } : {}),
    });
  }

  public onStage(stage: Message): void {
    this.isStarting = stage.code === 'Original';
    this.stage = stage.code.startsWith('Round') ? say`${stage} of ${this.expected.rounds}` : stage;
    this.report(true);
  }

  public onCosineLocal(distances: readonly CandidateDistance[]): void {
    this.context.emit({ kind: 'cosine-local', distances });
  }

  public onCandidate(round: number, distance: CandidateDistance): void {
    this.context.emit({ kind: 'candidate', round, distance });
  }

  public onRound(round: number, result: Round): void {
    this.context.emit({ kind: 'round', round, result });
    this.rates.update();
    const took = this.endPart();
    // Rounds that a journal replays take no work.
    if (round > 1 && took.model + took.copy > 0) {
      this.laterRounds.push(scaleWork(took, 1 / this.expected.roundSize(round)));
    }
    this.current = this.laterWork(round + 1, round + 1);
    this.ahead = addWork(this.laterWork(round + 2), this.afterRounds());
  }

  public onRefining(measured: number, most: number): void {
    this.rates.update();
    if (measured === 0) {
      this.endPart();
      this.current = this.workOf(this.expected.refinement);
    } else {
      const left = Math.max(0, Math.min(most, this.expected.sets) - measured);
      this.current = scaleWork(this.spentInPart, 1 + left / measured);
    }
    this.isRefined = true;
    this.ahead = this.afterRefinement();
    this.stage = say`Refining: ${measured} of at most ${most} sets`;
    this.report(true);
  }

  public onBaseline(name: BaselineName, rounds: readonly Round[]): void {
    this.context.emit({ kind: 'baseline', name, rounds });
    this.rates.update();
    this.endPart();
    this.measuredBaselines.add(name);
    this.current = noWork;
    this.ahead = this.afterRefinement();
  }

  private get spent(): WorkByKind {
    return spentWork(this.work, this.options);
  }

  private get spentInPart(): WorkByKind {
    return combineWork(this.spent, this.before, (after, before) => after - before);
  }

  /** Expected work that is left. */
  private get left(): WorkByKind {
    const rest = combineWork(this.current, this.spentInPart, (all, done) =>
      Math.max(0, all - done),
    );
    return addWork(rest, this.ahead);
  }

  private get expectedCost(): number {
    const { model, copy } = addWork(this.spent, this.left);
    return model + copy;
  }

  /** Seconds of an evaluation by the model itself; undefined if the search ran nothing. */
  public get secondsPerEvaluation(): number | undefined {
    return this.rates.seconds > 0 ? this.rates.secondsFor({ ...noWork, model: 1 }) : undefined;
  }

  /** Seconds of a token for all sublayers and the head of the model itself; undefined if the search ran nothing. */
  public get secondsPerToken(): number | undefined {
    const { secondsPerEvaluation } = this;
    return secondsPerEvaluation && secondsPerEvaluation * this.evaluationsPerToken();
  }

  private get secondsAfter(): number {
    const { rounds, roundSize } = this.expected;
    const seconds = this.secondsPerEvaluation ?? 0;
    const tokenSeconds = (kept: number): number => seconds * this.evaluationsPerToken(kept);
    return this.options.secondsAfter?.(tokenSeconds(1), tokenSeconds(roundSize(rounds + 1))) ?? 0;
  }

  /** @param kept share of the sublayers */
  private evaluationsPerToken(kept = 1): number {
    const { sequences, tokens } = this.calibration;
    const perSequence = kept * this.sublayers + this.work.readoutCost(1, 'whole');
    return (perSequence * sequences) / tokens;
  }

  /** Returns the work of the current part and starts the next one. */
  private endPart(): WorkByKind {
    const took = this.spentInPart;
    this.before = this.spent;
    return took;
  }

  /**
   * Share of the whole that is done, at most what is expected after the current part.
   * @param left expected seconds
   */
  private shareDone(left: number): number {
    const done = this.rates.secondsFor(this.spent);
    const after = this.rates.secondsFor(addWork(this.before, this.current));
    const ahead = this.rates.secondsFor(this.ahead);
    return done === 0 ? 0 : Math.min(done / (done + left), after / (after + ahead));
  }

  private afterRounds(): WorkByKind {
    const refinement = this.isRefined ? noWork : this.workOf(this.expected.refinement);
    return addWork(refinement, this.afterRefinement());
  }

  private afterRefinement(): WorkByKind {
    return [...this.expected.baselines]
      .filter(([name]) => !this.measuredBaselines.has(name))
      .map(([, amount]) => this.workOf(amount))
      .reduce(addWork, noWork);
  }

  /**
   * Expected work of some rounds after the first. Their number of races varies, so that a few measured rounds don't replace what is
   * expected in general.
   */
  private laterWork(from: number, to = this.expected.rounds): WorkByKind {
    const general = scaleWork(this.workOf(this.expected.later), priorRounds);
    const all = this.laterRounds.reduce(addWork, general);
    const size = sumSizes(this.expected, from, Math.min(to, this.expected.rounds));
    return scaleWork(all, size / (priorRounds + this.laterRounds.length));
  }

  private workOf({ model, copy }: SplitAmount): WorkByKind {
    const { sequences } = this.calibration;
    const cost = ({ evaluations, readouts }: SplitAmount['model']): number =>
      (evaluations + this.work.readoutCost(readouts, 'whole')) * sequences;
    const opened = (
      { passes, evaluations }: SplitAmount['model'],
      executor: LayeredExecutor | undefined,
    ): number =>
      executor?.openedBytes(passes(executor), evaluations * this.calibration.tokens) ?? 0;
    return {
      model: cost(model),
      copy: cost(copy),
      modelOpenings: opened(model, this.options.executor),
      copyOpenings: opened(copy, this.options.copy),
    };
  }
}
