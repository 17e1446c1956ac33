import { UserError } from '../user-error';
import {
  checkBudget,
  eligibility,
  listCandidates,
  nothingMayGo,
  nothingToRemove,
} from './candidates';
import type { Candidate } from './candidates';
import type { CandidateDistance, Round } from './layer-profile';
import type { SearchSettings } from './options';
import type { RoundInput } from './rounds';
import type { Scorer, ScorerSetup } from './scorer';
import { prefixTokens } from '../metrics/slices';
import { counted, say } from '../message';

/** Rows that a baseline's distance is estimated from in an adaptive search. */
export const leastBaselineRows = 256;

/** Names in the journal, each with its number behind it: rounds that search, and those of an order that is known. */
export const roundStep = 'round';
export const orderStep = 'order';

/** The parts of a search that do not change once the original has run. */
export class SearchPlan {
  /** Rows of each sequence's output: tokens of a language model. */
  public rows: readonly number[] = [];
  private readonly tokens: readonly number[];
  public readonly candidates: readonly Candidate[];
  private readonly isEligible: ReturnType<typeof eligibility>;
  /** Whether a candidate can still be taken out: it is there, and a mixture keeps an expert. */
  private readonly isRemaining: (candidate: Candidate, removed: ReadonlySet<number>) => boolean;
  /** Candidates, each with what is gone before it, that a search may not remove then. */
  private readonly unwritable = new Set<string>();
  public readonly isMet: ReturnType<typeof checkBudget>['isMet'];

  public constructor(
    public readonly settings: SearchSettings,
    public readonly setup: ScorerSetup,
  ) {
    const model = setup.executor.model.summary;
    const { units } = setup.executor;
    if (settings.everyDistance && settings.mode === 'adaptive') {
      throw new UserError(say`An adaptive search does not measure every distance.`, {
        field: 'everyDistance',
        remedy: say`Choose the search mode exact or lazy, or leave everyDistance out.`,
      });
    }
    this.tokens = setup.sequences.map((input) => prefixTokens(setup.executor.model, input));
    this.candidates = listCandidates(model, settings.granularity);
    if (this.candidates.length === 0) {
      throw nothingToRemove(model, settings.granularity);
    }
    this.isEligible = eligibility(model, settings);
    this.isMet = checkBudget(settings.budget, model, settings.granularity).isMet;
    this.isRemaining = ({ members }, removed) =>
      !members.some((unit) => removed.has(unit)) &&
      units.emptied(new Set([...removed, ...members])) === undefined;
    if (!this.candidates.some((candidate) => this.mayGo(candidate, new Set()))) {
      throw nothingMayGo();
    }
  }

  public input(
    scorer: Scorer,
    step: string,
    candidates: readonly Candidate[],
    expected: ReadonlyMap<string, number>,
    onDistance: (distance: CandidateDistance) => void,
  ): RoundInput {
    return {
      scorer,
      metric: this.setup.metric,
      step,
      candidates,
      isEligible: (candidate) => this.mayGo(candidate, scorer.removed),
      rows: this.rows,
      expected,
      onDistance,
    };
  }

  /** How many texts the sequences are from, the first one of each in front. */
  public get texts(): number {
    return Math.max(1, this.setup.texts?.length ?? 1);
  }

  /** Whether every sequence can be run in parts. */
  public get hasPrefixes(): boolean {
    return this.tokens.every((tokens) => tokens > 0);
  }

  /** Rows that baselines are measured on: as many sequences as give a rough distance, where that will do. */
  public get baselineRows(): readonly number[] {
    if (this.settings.mode !== 'adaptive' || this.settings.confidence === 1) {
      return this.rows;
    }
    let sum = 0;
    const enough = this.rows.findIndex((rows) => (sum += rows) >= leastBaselineRows);
    return enough < 0 ? this.rows : this.rows.slice(0, enough + 1);
  }

  /** Candidates that are still there. */
  public remaining(removed: ReadonlySet<number>): readonly Candidate[] {
    return this.candidates.filter((candidate) => this.isRemaining(candidate, removed));
  }

  public mayGo(candidate: Candidate, removed: ReadonlySet<number>): boolean {
    return (
      this.isRemaining(candidate, removed) &&
      this.isEligible(candidate, removed) &&
      (this.unwritable.size === 0 || !this.unwritable.has(stepOf(candidate, removed)))
    );
  }

  /** Whether what is left without all of these meets the budget, and may be. */
  public async mayGoTogether(set: readonly Candidate[]): Promise<boolean> {
    const { isWritable, executor } = this.setup;
    const removed = new Set(set.flatMap(({ members }) => members));
    const mayGo = set.every((candidate) => {
      const others = set.filter((one) => one !== candidate).flatMap(({ members }) => members);
      return this.mayGo(candidate, new Set(others));
    });
    if (!mayGo || !(this.settings.budget.kind === 'all' || this.isMet(removed, set.length))) {
      return false;
    }
    return isWritable?.([...removed].map((unit) => executor.units.idOf(unit))) ?? true;
  }

  /** Finds out which candidates could not be written with what is gone; comes before each round. */
  public async judge(removed: ReadonlySet<number>): Promise<void> {
    const { isWritable, executor } = this.setup;
    if (isWritable === undefined) {
      return;
    }
    for (const candidate of this.candidates.filter((one) => this.mayGo(one, removed))) {
      const ids = [...removed, ...candidate.members].map((unit) => executor.units.idOf(unit));
      if (!(await isWritable(ids))) {
        this.unwritable.add(stepOf(candidate, removed));
      }
    }
  }

  /**
   * Why a search can't go on behind so many rounds: no removal leaves outputs that can be compared.
   * @param next the only removal that the order allows, where it is fixed
   */
  public explainNonFinite(rounds: number, next?: Candidate): UserError {
    const { name, path } = this.setup.executor.model.summary;
    const round = rounds + 1;
    return new UserError(
      next === undefined
        ? say`Round ${round}: the outputs of ${name} hold NaN or infinity, whatever is removed.`
        : say`Round ${round}: without ${next.id}, the outputs of ${name} hold NaN or infinity.`,
      {
        file: path,
        field: `mode ${this.settings.mode}`,
        remedy:
          rounds === 0
            ? say`Check its weights for very large values, or choose another granularity.`
            : say`Set the budget to ${counted(rounds, 'removal')}, which gives finite outputs.`,
      },
    );
  }

  /** Sublayer evaluations of the naive search over the same rounds, the original run included. */
  public naiveEvaluations(rounds: readonly Round[]): number {
    const { units, model } = this.setup.executor;
    const count = model.summary.sublayers.length;
    const removed = new Set<number>();
    let evaluations = count;
    for (const { removed: id } of rounds) {
      for (const candidate of this.remaining(removed)) {
        const gone = [...removed, ...candidate.members].filter((unit) => !units.isExpert(unit));
        evaluations += count - gone.length;
      }
      for (const index of this.candidates.find((one) => one.id === id)?.members ?? []) {
        removed.add(index);
      }
    }
    return evaluations * this.setup.sequences.length;
  }
}

function stepOf({ id }: Candidate, removed: ReadonlySet<number>): string {
  return `${id} ${[...removed].sort((a, b) => a - b).join()}`;
}
