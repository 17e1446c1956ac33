import { UserError } from '../user-error';
import {
  checkBudget,
  eligibility,
  listCandidates,
  explainNothingRemovable,
  nothingToRemove,
} from './candidates';
import type { Candidate } from './candidates';
import type { CandidateDistance, Round } from './layer-profile';
import type { SearchSettings } from './options';
import type { RoundInput } from './rounds';
import { screeningSetup } from './scorer';
import type { Scorer, ScorerSetup } from './scorer';
import { prefixTokens } from '../metrics/slices';
import { counted, say } from '../message';

/** Number of rows from which a baseline's distance is estimated in an adaptive search. */
export const minBaselineRows = 256;

/** Step name prefixes in the journal, followed by a number: searched rounds, and rounds of a given order. */
export const roundStep = 'round';
/** Name of the main search in journal records; baselines have other names. */
export const orderStep = 'order';

/** Parts of a search that don't change after the original has run. */
export class SearchPlan {
  /** Rows of each sequence's output: tokens of a language model. */
  public rows: readonly number[] = [];
  private readonly tokens: readonly number[];
  public readonly candidates: readonly Candidate[];
  private readonly isEligible: ReturnType<typeof eligibility>;
  /** True if a candidate is not yet removed and its MoE layer would keep enough experts. */
  private readonly isRemaining: (candidate: Candidate, removed: ReadonlySet<number>) => boolean;
  /** Candidates that can't be written, each keyed with the removals before it. */
  private readonly unwritable = new Set<string>();
  public readonly isMet: ReturnType<typeof checkBudget>['isMet'];

  public constructor(
    public readonly settings: SearchSettings,
    public readonly setup: ScorerSetup,
  ) {
    const model = setup.executor.model.summary;
    const { units } = setup.executor;
    if (settings.everyDistance && settings.mode === 'adaptive') {
      throw new UserError(
        'distances-not-measured',
        say`An adaptive search does not measure every distance.`,
        {
          field: 'everyDistance',
          remedy: say`Choose the search mode exact or lazy, or leave everyDistance out.`,
        },
      );
    }
    this.tokens = setup.sequences.map((input) => prefixTokens(setup.executor.model, input));
    this.rows = this.hasPrefixes ? this.tokens : [];
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
      throw explainNothingRemovable();
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

  /** True if decisions are made on estimates. */
  public get isAdaptive(): boolean {
    return this.settings.mode === 'adaptive' && this.settings.confidence < 1;
  }

  /** True if each pass through the layers opens sessions again, in this process. */
  public get isStreamed(): boolean {
    const { executor, share } = this.setup;
    const { keepsSessions } = this.isAdaptive ? screeningSetup(this.setup).executor : executor;
    return !keepsSessions && share === undefined;
  }

  /** Number of texts. Sequences start with the first one of each. */
  public get texts(): number {
    return Math.max(1, this.setup.texts?.length ?? 1);
  }

  /** True if every sequence can be run in parts. */
  public get hasPrefixes(): boolean {
    return this.tokens.every((tokens) => tokens > 0);
  }

  /** Rows on which baselines are measured: in adaptive searches, only as many sequences as a rough distance needs. */
  public get baselineRows(): readonly number[] {
    if (!this.isAdaptive) {
      return this.rows;
    }
    let sum = 0;
    const enough = this.rows.findIndex((rows) => (sum += rows) >= minBaselineRows);
    return enough < 0 ? this.rows : this.rows.slice(0, enough + 1);
  }

  /** Candidates that can still be removed. */
  public remaining(removed: ReadonlySet<number>): readonly Candidate[] {
    return this.candidates.filter((candidate) => this.isRemaining(candidate, removed));
  }

  public mayGo(candidate: Candidate, removed: ReadonlySet<number>): boolean {
    return (
      this.isRemaining(candidate, removed) &&
      this.isEligible(candidate, removed) &&
      (this.unwritable.size === 0 || !this.unwritable.has(removalStep(candidate, removed)))
    );
  }

  /** True if removing all of these meets the budget and the constraints. */
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

  /** Determines which candidates can't be written after the given removals. Must be called before each round. */
  public async judge(removed: ReadonlySet<number>): Promise<void> {
    const { isWritable, executor } = this.setup;
    if (isWritable === undefined) {
      return;
    }
    for (const candidate of this.candidates.filter((one) => this.mayGo(one, removed))) {
      const ids = [...removed, ...candidate.members].map((unit) => executor.units.idOf(unit));
      if (!(await isWritable(ids))) {
        this.unwritable.add(removalStep(candidate, removed));
      }
    }
  }

  /**
   * Error for a search in which every further removal produces NaN or infinity.
   * @param rounds number of completed rounds
   * @param next the only possible removal, if the order is fixed
   */
  public explainNonFinite(rounds: number, next?: Candidate): UserError {
    const { name, path } = this.setup.executor.model.summary;
    const round = rounds + 1;
    return new UserError(
      'outputs-not-finite',
      next === undefined
        ? say`Round ${round}: the outputs of ${name} contain NaN or infinity, regardless of what is removed.`
        : say`Round ${round}: without ${next.id}, the outputs of ${name} contain NaN or infinity.`,
      {
        file: path,
        field: `mode ${this.settings.mode}`,
        remedy:
          rounds === 0
            ? say`Check its weights for very large values, or choose another granularity.`
            : say`Set the budget to ${counted(rounds, 'removal')}: its outputs are finite.`,
      },
    );
  }

  /** Sublayer evaluations of a naive search over the same rounds, including the original run. */
  public naiveEvaluations(rounds: readonly Round[]): number {
    const { units, model } = this.setup.executor;
    const count = model.summary.sublayers.length;
    const removed = new Set<number>();
    let evaluations = count;
    for (const { removed: id } of rounds) {
      for (const candidate of this.remaining(removed)) {
        const removedSublayers = [...removed, ...candidate.members].filter(
          (unit) => !units.isExpert(unit),
        );
        evaluations += count - removedSublayers.length;
      }
      for (const index of this.candidates.find((one) => one.id === id)?.members ?? []) {
        removed.add(index);
      }
    }
    return evaluations * this.setup.sequences.length;
  }
}

function removalStep({ id }: Candidate, removed: ReadonlySet<number>): string {
  return `${id} ${[...removed].sort((a, b) => a - b).join()}`;
}
