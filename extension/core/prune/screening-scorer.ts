import type { BlockTerms, Slice } from '../metrics/slices';
import type { Vocabulary } from '../metrics/vocabulary';
import type { Candidate } from './candidates';
import type { OriginalObserver, OriginalStates, Scorer, ScorerSetup, ScorerUse } from './scorer';
import { screeningSetup } from './scorer';
import { TrajectoryScorer } from './trajectory-scorer';

/**
 * Compares candidates on an int8 copy of the model and confirms winners on the model itself: terms over the whole
 * vocabulary are from the model, all others from the copy, relative to the copy's own original.
 */
export class ScreeningScorer implements Scorer {
  private readonly copy: TrajectoryScorer;
  private readonly model: TrajectoryScorer;
  /** Sequences on which the original model itself has run. */
  private readonly confirmed = new Set<number>();

  public constructor(setup: ScorerSetup, { onFinal }: ScorerUse) {
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
  ): Promise<OriginalStates> {
    return this.copy.start(sequences, observer);
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
    const wanted = new Set(slices.map(({ sequence }) => sequence));
    const missing = [...wanted].filter((sequence) => !this.confirmed.has(sequence));
    if (missing.length > 0) {
      await this.model.start(missing);
      missing.forEach((sequence) => this.confirmed.add(sequence));
    }
    return this.model.terms(step, candidates, slices, vocabulary);
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
