import type { ModelSummary } from '../../core/models/model-summary';
import { countedUnits } from '../../core/tensornet/budget/budget-limits';
import { removalCosts } from '../../core/operations/budget-fields';
import type { RemovalCost } from '../../core/tensornet/budget/plan-under-budget';
import { summarizeFindings } from '../../core/tensornet/sensitivity/findings';
import { allMatrices } from '../../core/tensornet/sensitivity/sensitivity-profile';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityEvent,
} from '../../core/tensornet/sensitivity/sensitivity-profile';
import type { LayerProfile } from '../../core/prune/layer-profile';
import type { BudgetPlans } from '../documents/budget-plans';
import type {
  BudgetChoice,
  BudgetSurvey,
  CompressionJob,
  CompressionState,
  MadePlan,
  PredictedPlan,
  ScoredFront,
  ShownTable,
} from '../../protocol/compression';
import type { OfferedType } from '../../protocol/frontier';
import { prunedSizes } from './frontier-points';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import type { Refusal } from '../trust';

/** State of a table that is saved between windows. */
export interface StoredCompression {
  /** Fingerprint of the model. */
  readonly fingerprint: string;
  readonly plan?: MadePlan;
  readonly scores?: ScoredFront;
}

/** Dependencies of a session. */
export interface CompressionHost {
  /** Reason why jobs may not run, if any. */
  readonly blocked: () => Refusal | undefined;
  readonly canPlan: boolean;
  readonly save: (stored: StoredCompression) => void;
  readonly plans: Pick<BudgetPlans, 'survey' | 'predict' | 'predictPlan'>;
}

/** A model with the sensitivity of its linear layers, the plan made by it, and the job that runs for it. */
export class CompressionSession extends PanelSession<CompressionState> {
  protected readonly parts: Parts<CompressionState> = {
    model: () => this.model,
    file: () => this.file,
    table: () => this.#table,
    measured: () =>
      Object.fromEntries([...this.#matrices].map(([tensor, { entries }]) => [tensor, entries])),
    findings: () => (this.table === undefined ? [] : summarizeFindings(this.table)),
    job: () => this.#job,
    plan: () => this.#plan,
    scores: () => this.#scores,
    removable: () => this.removable.length,
    units: () => (this.#table === undefined ? [] : countedUnits(this.#table)),
    types: () => this.#types,
    canPlan: () => this.host.canPlan,
    pruned: () => this.#pruned,
    warnings: () => this.#warningTexts(),
    blocked: () => this.blocked?.reason,
  };

  #table: ShownTable | undefined;
  /** Matrices of the table that were measured again since, by tensor. */
  readonly #matrices = new Map<string, LayerSensitivity | EmbeddingOrHeadSensitivity>();
  #profile: LayerProfile | undefined;
  #job: CompressionJob = { kind: 'idle' };
  #plan: MadePlan | undefined;
  #scores: ScoredFront | undefined;
  /** Warnings of the worker. */
  #warnings: readonly string[] = [];
  #tableWarning: string | undefined;
  #types: readonly OfferedType[] = [];
  #pruned: CompressionState['pruned'] = [];

  public constructor(
    public readonly model: ModelSummary,
    /** Path of the table, whether or not it exists yet. */
    public readonly file: string,
    private readonly host: CompressionHost,
    stored: StoredCompression | undefined,
  ) {
    super();
    this.#plan = stored?.plan;
    this.#scores = stored?.scores;
  }

  /** The table with everything measured so far. */
  public get table(): ShownTable | undefined {
    if (this.#table === undefined) {
      return undefined;
    }
    const known = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
      ...matrix,
      entries: this.#matrices.get(matrix.tensor)?.entries ?? matrix.entries,
    });
    const { layers, embeddingAndHead } = this.#table;
    return {
      ...this.#table,
      layers: layers.map(known),
      ...(embeddingAndHead === undefined ? {} : { embeddingAndHead: embeddingAndHead.map(known) }),
    };
  }

  public get plan(): MadePlan | undefined {
    return this.#plan;
  }

  public get scores(): ScoredFront | undefined {
    return this.#scores;
  }

  public get job(): CompressionJob {
    return this.#job;
  }

  public get blocked(): Refusal | undefined {
    return this.host.blocked();
  }

  /** False if linear layers can't be compressed by a plan. */
  public get canPlan(): boolean {
    return this.host.canPlan;
  }

  /** Sublayers that a plan may remove: those measured by the metric of the table, in the same model. */
  public get removable(): readonly RemovalCost[] {
    const profile = this.#fittingProfile;
    return profile === undefined ? [] : removalCosts(profile);
  }

  /** The layer profile, if it is of the same model and was measured by the metric of the table. */
  get #fittingProfile(): LayerProfile | undefined {
    const profile = this.#profile;
    return profile?.model.fingerprint === this.model.fingerprint &&
      profile.settings.metric === this.#table?.metric
      ? profile
      : undefined;
  }

  /** Takes a table that was read or has been finished. */
  public loadTable(table: ShownTable | undefined, warning?: string): void {
    this.#table = table;
    this.#matrices.clear();
    this.#tableWarning = warning;
    this.#findPruned();
    this.tell('table', 'measured', 'findings', 'warnings', 'removable', 'units');
  }

  /** Uses the cost of removing sublayers from the layer profile next to the model. */
  public loadProfile(profile: LayerProfile | undefined): void {
    this.#profile = profile;
    this.#findPruned();
    this.tell('removable');
  }

  #findPruned(): void {
    this.#pruned = prunedSizes(this.#fittingProfile?.rounds ?? [], this.model);
    this.tell('pruned');
  }

  public applyEvent(event: SensitivityEvent): void {
    if (event.kind === 'sensitivity-started') {
      this.loadTable(event.table);
      return;
    }
    const { tensor, entry } = event;
    const matrices = this.#table === undefined ? [] : allMatrices(this.#table);
    const known = this.#matrices.get(tensor) ?? matrices.find((one) => one.tensor === tensor);
    if (known !== undefined) {
      this.#matrices.set(tensor, { ...known, entries: [...known.entries, entry] });
      this.tellEntry('measured', tensor);
      this.tell('findings');
    }
  }

  /** @param warnings what the worker has warned of in the latest job */
  public setJob(job: CompressionJob, warnings: readonly string[]): void {
    this.#job = job;
    const isNew = warnings.join('\n') !== this.#warnings.join('\n');
    this.#warnings = warnings;
    this.tell('job', ...(isNew ? (['warnings'] as const) : []));
  }

  public async survey(choice: BudgetChoice): Promise<BudgetSurvey> {
    return this.host.plans.survey(this, choice);
  }

  public async predict(choice: BudgetChoice): Promise<PredictedPlan> {
    return this.host.plans.predict(this, choice);
  }

  /** Takes the plan of a choice by single changes, without measuring it. */
  public async usePredicted(choice: BudgetChoice): Promise<void> {
    this.setPlan({ ...choice, result: await this.host.plans.predictPlan(this, choice) });
  }

  public setPlan(plan: MadePlan | undefined): void {
    this.#plan = plan;
    this.#save();
    this.tell('plan');
  }

  public setScores(scores: ScoredFront | undefined): void {
    this.#scores = scores;
    this.#save();
    this.tell('scores');
  }

  /** Types that the model can be written in. */
  public setTypes(types: readonly OfferedType[]): void {
    this.#types = types;
    this.tell('types');
  }

  /** The workspace became trusted. */
  public refreshBlocked(): void {
    this.tell('blocked');
  }

  #warningTexts(): string | undefined {
    const all = [
      ...(this.#tableWarning === undefined ? [] : [this.#tableWarning]),
      ...this.#warnings,
    ];
    return all.length === 0 ? undefined : all.join(' ');
  }

  #save(): void {
    this.host.save({
      fingerprint: this.model.fingerprint,
      ...(this.#plan === undefined ? {} : { plan: this.#plan }),
      ...(this.#scores === undefined ? {} : { scores: this.#scores }),
    });
  }
}
