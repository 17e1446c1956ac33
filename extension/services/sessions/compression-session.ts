import { batch, computed } from '@preact/signals-core';
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
  CompressionState,
  MadePlan,
  PredictedPlan,
  ScoredFront,
  ShownTable,
} from '../../protocol/compression';
import type { PanelJob } from '../../protocol/jobs';
import type { OfferedType } from '../../protocol/frontier';
import { prunedSizes } from './frontier-points';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import { reactive } from './reactive';
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
    table: () => this.#state.table,
    measured: () =>
      Object.fromEntries(
        Object.entries(this.#state.matrices).map(([tensor, { entries }]) => [tensor, entries]),
      ),
    findings: () => (this.table === undefined ? [] : summarizeFindings(this.table)),
    job: () => this.#state.job,
    plan: () => this.#state.plan,
    scores: () => this.#state.scores,
    removable: () => this.removable.length,
    units: () => (this.#state.table === undefined ? [] : countedUnits(this.#state.table)),
    types: () => this.#state.types,
    canPlan: () => this.host.canPlan,
    pruned: () => prunedSizes(this.#fittingProfile.value?.rounds ?? [], this.model),
    warnings: () => this.#warningTexts(),
    blocked: () => this.byTrust(() => this.blocked?.reason),
  };

  protected override readonly records = ['measured'] as const;
  readonly #state = reactive<{
    table: ShownTable | undefined;
    /** Matrices of the table that were measured again since, by tensor. */
    matrices: Readonly<Record<string, LayerSensitivity | EmbeddingOrHeadSensitivity>>;
    profile: LayerProfile | undefined;
    job: PanelJob;
    plan: MadePlan | undefined;
    scores: ScoredFront | undefined;
    /** Warnings of the worker. */
    warnings: readonly string[];
    tableWarning: string | undefined;
    types: readonly OfferedType[];
  }>({
    table: undefined,
    matrices: {},
    profile: undefined,
    job: { kind: 'idle' },
    plan: undefined,
    scores: undefined,
    warnings: [],
    tableWarning: undefined,
    types: [],
  });
  /** The layer profile, if it belongs to the same model and has the same metric as the sensitivity profile. */
  readonly #fittingProfile = computed(() => {
    const { profile, table } = this.#state;
    return profile?.model.fingerprint === this.model.fingerprint &&
      profile.settings.metric === table?.metric
      ? profile
      : undefined;
  });

  public constructor(
    public readonly model: ModelSummary,
    /** Path of the table, whether or not it exists yet. */
    public readonly file: string,
    private readonly host: CompressionHost,
    stored: StoredCompression | undefined,
  ) {
    super();
    this.#state.plan = stored?.plan;
    this.#state.scores = stored?.scores;
  }

  /** The table with everything measured so far. */
  public get table(): ShownTable | undefined {
    if (this.#state.table === undefined) {
      return undefined;
    }
    const known = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
      ...matrix,
      entries: this.#state.matrices[matrix.tensor]?.entries ?? matrix.entries,
    });
    const { layers, embeddingAndHead } = this.#state.table;
    return {
      ...this.#state.table,
      layers: layers.map(known),
      ...(embeddingAndHead === undefined ? {} : { embeddingAndHead: embeddingAndHead.map(known) }),
    };
  }

  public get plan(): MadePlan | undefined {
    return this.#state.plan;
  }

  public get scores(): ScoredFront | undefined {
    return this.#state.scores;
  }

  public get job(): PanelJob {
    return this.#state.job;
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
    const profile = this.#fittingProfile.value;
    return profile === undefined ? [] : removalCosts(profile);
  }

  /** Sets the table that was read or completed. */
  public loadTable(table: ShownTable | undefined, warning?: string): void {
    batch(() => Object.assign(this.#state, { table, matrices: {}, tableWarning: warning }));
  }

  /** Uses the cost of removing sublayers from the layer profile next to the model. */
  public loadProfile(profile: LayerProfile | undefined): void {
    this.#state.profile = profile;
  }

  public applyEvent(event: SensitivityEvent): void {
    if (event.kind === 'sensitivity-started') {
      this.loadTable(event.table);
      return;
    }
    const { tensor, entry } = event;
    const matrices = this.#state.table === undefined ? [] : allMatrices(this.#state.table);
    const known = this.#state.matrices[tensor] ?? matrices.find((one) => one.tensor === tensor);
    if (known !== undefined) {
      const matrix = { ...known, entries: [...known.entries, entry] };
      this.#state.matrices = { ...this.#state.matrices, [tensor]: matrix };
    }
  }

  /** @param warnings what the worker has warned of in the latest job */
  public setJob(job: PanelJob, warnings: readonly string[]): void {
    batch(() => Object.assign(this.#state, { job, warnings }));
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
    this.#state.plan = plan;
    this.#save();
  }

  public setScores(scores: ScoredFront | undefined): void {
    this.#state.scores = scores;
    this.#save();
  }

  /** Types that the model can be written in. */
  public setTypes(types: readonly OfferedType[]): void {
    this.#state.types = types;
  }

  #warningTexts(): string | undefined {
    const all = [
      ...(this.#state.tableWarning === undefined ? [] : [this.#state.tableWarning]),
      ...this.#state.warnings,
    ];
    return all.length === 0 ? undefined : all.join(' ');
  }

  #save(): void {
    this.host.save({
      fingerprint: this.model.fingerprint,
      ...(this.#state.plan === undefined ? {} : { plan: this.#state.plan }),
      ...(this.#state.scores === undefined ? {} : { scores: this.#state.scores }),
    });
  }
}
