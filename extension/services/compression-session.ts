import type { ModelSummary } from '../core/models/model-summary';
import type { RemovalCost } from '../core/tensornet/budget/plan-under-budget';
import { findingsOf } from '../core/tensornet/sensitivity/findings';
import { matricesOf } from '../core/tensornet/sensitivity/sensitivity-profile';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  OuterSensitivity,
  SensitivityEvent,
} from '../core/tensornet/sensitivity/sensitivity-profile';
import type { LayerProfile } from '../core/prune/layer-profile';
import type {
  CompressionJob,
  CompressionState,
  MadePlan,
  ShownTable,
} from '../protocol/compression';
import { Signal } from './signal';
import type { Refusal } from './trust';

/** What is remembered of a table between windows. */
export interface StoredCompression {
  /** Of the model that all this is about. */
  readonly fingerprint: string;
  readonly plan?: MadePlan;
}

/** What a session needs from its surroundings. */
export interface CompressionHost {
  /** Why jobs may not run, if so. */
  readonly blocked: () => Refusal | undefined;
  readonly save: (stored: StoredCompression) => void;
}

export type CompressionField = keyof CompressionState;

/** A model with the sensitivity of its linear layers, the plan made by it, and the job that runs for it. */
export class CompressionSession {
  /** Tells which fields of the state have changed. */
  public readonly changed = new Signal<readonly CompressionField[]>();
  /** Tells of which layers more has been measured. */
  public readonly measured = new Signal<string>();

  #table: ShownTable | undefined;
  /** Layers, embedding and head by their tensors, as far as they have been measured. */
  #matrices = new Map<string, LayerSensitivity | OuterSensitivity>();
  #profile: LayerProfile | undefined;
  #job: CompressionJob = { kind: 'idle' };
  #plan: MadePlan | undefined;
  /** What the worker has warned of. */
  #warnings: readonly string[] = [];
  #remark: string | undefined;

  public constructor(
    public readonly model: ModelSummary,
    /** Where the table lies or will lie. */
    public readonly file: string,
    private readonly host: CompressionHost,
    stored: StoredCompression | undefined,
  ) {
    this.#plan = stored?.plan;
  }

  /** As far as it is known. */
  public get table(): ShownTable | undefined {
    if (this.#table === undefined) {
      return undefined;
    }
    const known = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
      ...matrix,
      entries: this.#matrices.get(matrix.tensor)?.entries ?? matrix.entries,
    });
    const { layers, outer } = this.#table;
    return {
      ...this.#table,
      layers: layers.map(known),
      ...(outer === undefined ? {} : { outer: outer.map(known) }),
    };
  }

  public get plan(): MadePlan | undefined {
    return this.#plan;
  }

  public get job(): CompressionJob {
    return this.#job;
  }

  public get blocked(): Refusal | undefined {
    return this.host.blocked();
  }

  /** Sublayers that a plan may remove: those measured by the metric of the table, in the same model. */
  public get removable(): readonly RemovalCost[] {
    const profile = this.#profile;
    const fits =
      profile?.model.fingerprint === this.model.fingerprint &&
      profile.settings.metric === this.#table?.metric;
    return fits
      ? profile.candidates.flatMap(({ sublayer, distance }) =>
          distance === null ? [] : [{ sublayer, distance }],
        )
      : [];
  }

  public snapshot(): CompressionState {
    const { model, file, table } = this;
    return {
      model,
      file,
      table,
      findings: table === undefined ? [] : findingsOf(table),
      job: this.#job,
      plan: this.#plan,
      removable: this.removable.length,
      remark: this.#remarks(),
      blocked: this.blocked?.reason,
    };
  }

  /** Matrices by their tensors, as far as they have been measured. */
  public layers(tensors: Iterable<string>): (LayerSensitivity | OuterSensitivity)[] {
    return [...tensors].flatMap((tensor) => this.#matrices.get(tensor) ?? []);
  }

  /** Takes a table that was read or has been finished. */
  public loadTable(table: ShownTable | undefined, remark?: string): void {
    this.#setTable(table);
    this.#remark = remark;
    this.#tell('table', 'findings', 'remark', 'removable');
  }

  /** Takes what removing sublayers costs, as the layer profile beside the model tells. */
  public loadProfile(profile: LayerProfile | undefined): void {
    this.#profile = profile;
    this.#tell('removable');
  }

  public applyEvent(event: SensitivityEvent): void {
    if (event.kind === 'sensitivity-started') {
      this.loadTable(event.table);
      return;
    }
    const matrix = this.#matrices.get(event.tensor);
    if (matrix !== undefined) {
      this.#matrices.set(event.tensor, { ...matrix, entries: [...matrix.entries, event.entry] });
      this.measured.fire(event.tensor);
    }
  }

  /** @param warnings what the worker has warned of in the latest job */
  public setJob(job: CompressionJob, warnings: readonly string[]): void {
    this.#job = job;
    const isNew = warnings.join('\n') !== this.#warnings.join('\n');
    this.#warnings = warnings;
    this.#tell('job', ...(isNew ? (['remark'] as const) : []));
  }

  public setPlan(plan: MadePlan | undefined): void {
    this.#plan = plan;
    this.#save();
    this.#tell('plan');
  }

  /** The workspace became trusted. */
  public refreshBlocked(): void {
    this.#tell('blocked');
  }

  #setTable(table: ShownTable | undefined): void {
    this.#table = table;
    const matrices = table === undefined ? [] : matricesOf(table);
    this.#matrices = new Map(matrices.map((matrix) => [matrix.tensor, matrix]));
  }

  #remarks(): string | undefined {
    const remarks = [...(this.#remark === undefined ? [] : [this.#remark]), ...this.#warnings];
    return remarks.length === 0 ? undefined : remarks.join(' ');
  }

  #tell(...fields: readonly CompressionField[]): void {
    this.changed.fire(fields);
  }

  #save(): void {
    this.host.save({
      fingerprint: this.model.fingerprint,
      ...(this.#plan === undefined ? {} : { plan: this.#plan }),
    });
  }
}
