import { batch } from '@preact/signals-core';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import type { ModelDescription, StoredTensor } from '../../core/inspect/model-description';
import type { Drift } from '../../core/evaluate/drift';
import type {
  ComparisonState,
  DiagramState,
  ExportFormat,
  ExplorerState,
  StatisticsState,
  Importance,
} from '../../protocol/explorer';
import type { QuestionRequests } from '../../core/operations/questions/questions';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import { reactive } from './reactive';
import type { WorkerClient } from '../worker/worker-client';
import { RequestCancelled } from '../worker/worker-errors';

/** Client of the inspector. */
export type Inspector = Pick<WorkerClient<QuestionRequests>, 'request'>;

/** One model that is looked at: its description and all that was asked about it. */
export class ExplorerSession extends PanelSession<ExplorerState> {
  protected readonly parts: Parts<ExplorerState> = {
    model: () => this.#state.model,
    failure: () => this.#state.failure,
    statistics: () => this.#state.statistics,
    comparison: () => this.#state.comparison,
    drift: () => this.#state.drift,
    values: () => this.#state.values,
    reveal: () => this.#state.revealed,
  };

  protected override readonly records = ['statistics'] as const;
  readonly #state = reactive<{
    statistics: Readonly<Record<string, StatisticsState>>;
    failure: string | undefined;
    model: ModelDescription | undefined;
    comparison: ComparisonState | undefined;
    drift: Drift | undefined;
    values: string | undefined;
    revealed: string | undefined;
  }>({
    statistics: {},
    failure: undefined,
    model: undefined,
    comparison: undefined,
    drift: undefined,
    values: undefined,
    revealed: undefined,
  });
  readonly #inspector: Inspector;
  readonly #describeError: (error: unknown) => string;
  readonly #importanceOf: (model: string) => Promise<Importance | undefined>;
  #opening: Promise<void> | undefined;
  #running: CancellationTokenSource | undefined;
  readonly #alive = new CancellationTokenSource();

  public constructor(
    inspector: Inspector,
    /** Path of a folder or file of the model. */
    public readonly path: string,
    describeError: (error: unknown) => string,
    importanceOf: (model: string) => Promise<Importance | undefined> = () =>
      Promise.resolve(undefined),
    /** File of the texts that the diagram is drawn with; English without one. */
    private readonly catalogue?: string,
  ) {
    super();
    this.#importanceOf = importanceOf;
    this.#inspector = inspector;
    this.#describeError = describeError;
  }

  /** Undefined until it has been read, or if it cannot be read. */
  public get model(): ModelDescription | undefined {
    return this.#state.model;
  }

  /** Reads the headers of the model's files, again if they were read before. */
  public async open(): Promise<void> {
    this.#opening = this.#read();
    await this.#opening;
  }

  /** Resolves when the headers have been read, with or without success. */
  public async opened(): Promise<void> {
    await this.#opening;
  }

  /** Chooses a row of the table, if need be once the webview is there. */
  public reveal(row: string | undefined): void {
    this.#state.revealed = row;
  }

  /** Reads a tensor's values, once. */
  public async measure(name: string): Promise<void> {
    const tensor = this.#state.model && findTensor(this.#state.model, name);
    const known = this.#state.statistics[name];
    if (tensor === undefined || (known !== undefined && known.kind !== 'failed')) {
      return;
    }
    const set = (state: StatisticsState): void => {
      this.#state.statistics = { ...this.#state.statistics, [name]: state };
    };
    set({ kind: 'reading', share: 0 });
    try {
      const statistics = await this.#inspector.request(
        'statistics',
        { tensor },
        {
          token: this.#alive.token,
          onProgress: ({ done, total }) => {
            set({ kind: 'reading', share: done / Math.max(1, total) });
          },
        },
      );
      set({ kind: 'known', statistics });
    } catch (error) {
      set({ kind: 'failed', message: this.#describeError(error) });
    }
  }

  /** Writes its structure to a file, with statistics of tensors as far as they are known. */
  public async export(format: Exclude<ExportFormat, 'markdown'>, file: string): Promise<void> {
    const known = Object.entries(this.#state.statistics).flatMap(([name, state]) =>
      state.kind === 'known' ? [[name, state.statistics] as const] : [],
    );
    const statistics = Object.fromEntries(known);
    await this.#inspector.request('exportStructure', {
      model: this.path,
      format,
      statistics,
      file,
    });
  }

  /** The data flow with these groups open. */
  public async draw(open: readonly string[]): Promise<DiagramState> {
    try {
      const found = await this.#inspector.request(
        'diagram',
        {
          ...{ model: this.path, open },
          ...(this.#state.comparison?.kind === 'known'
            ? { against: this.#state.comparison.comparison.against.path }
            : {}),
          ...(this.#state.values === undefined ? {} : { values: this.#state.values }),
          ...(this.catalogue === undefined ? {} : { catalogue: this.catalogue }),
        },
        { token: this.#alive.token },
      );
      return 'reason' in found
        ? { kind: 'unknown', reason: this.#describeError(found.reason) }
        : { kind: 'known', diagram: found };
    } catch (error) {
      return { kind: 'unknown', reason: this.#describeError(error) };
    }
  }

  /** Importance of sublayers, from a profile next to the model. */
  public async importance(): Promise<Importance | undefined> {
    return this.#state.model === undefined ? undefined : this.#importanceOf(this.#state.model.path);
  }

  public setDrift(drift: Drift | undefined): void {
    this.#state.drift = drift;
  }

  /** Shows the values of a file on the diagram; undefined clears them. */
  public setValues(file: string | undefined): void {
    this.#state.values = file;
  }

  /** Compares with another model and cancels an earlier comparison. */
  public async compare(against: string, weights: boolean): Promise<void> {
    this.#running?.cancel();
    const source = new CancellationTokenSource();
    this.#running = source;
    this.#setComparison({ kind: 'comparing', against, weights, share: 0 });
    try {
      const comparison = await this.#inspector.request(
        'compare',
        { model: this.path, against, weights },
        {
          token: source.token,
          onProgress: ({ done, total }) => {
            if (this.#running === source) {
              const share = done / Math.max(1, total);
              this.#setComparison({ kind: 'comparing', against, weights, share });
            }
          },
        },
      );
      if (this.#running === source) {
        this.#setComparison({ kind: 'known', comparison });
      }
    } catch (error) {
      if (this.#running === source) {
        const cancelled = error instanceof RequestCancelled;
        const message = this.#describeError(error);
        this.#setComparison(cancelled ? undefined : { kind: 'failed', against, message });
      }
    } finally {
      if (this.#running === source) {
        this.#running = undefined;
      }
      source.dispose();
    }
  }

  /** The model compared with, and whether weights were compared. */
  public get compared(): { readonly against: string; readonly weights: boolean } | undefined {
    if (this.#state.comparison?.kind !== 'known') {
      return undefined;
    }
    const { against, weights } = this.#state.comparison.comparison;
    return { against: against.path, weights: weights !== undefined };
  }

  /** Repeats the comparison, with weights. */
  public async compareWeights(): Promise<void> {
    const { compared } = this;
    if (compared !== undefined) {
      await this.compare(compared.against, true);
    }
  }

  /** Removes the comparison, or cancels a running one. */
  public endComparison(): void {
    if (this.#running === undefined) {
      this.#setComparison(undefined);
    } else {
      this.#running.cancel();
    }
  }

  public dispose(): void {
    this.#running?.cancel();
    this.#alive.cancel();
    this.#alive.dispose();
  }

  async #read(): Promise<void> {
    try {
      const model = await this.#inspector.request('describe', { model: this.path });
      this.#setModel(model, undefined);
    } catch (error) {
      this.#setModel(undefined, this.#describeError(error));
    }
  }

  #setModel(model: ModelDescription | undefined, failure: string | undefined): void {
    batch(() => {
      Object.assign(this.#state, { model, failure });
      if (model !== undefined) {
        this.#state.statistics = {};
      }
    });
  }

  #setComparison(state: ComparisonState | undefined): void {
    this.#state.comparison = state;
  }
}

function findTensor({ blocks, parts }: ModelDescription, name: string): StoredTensor | undefined {
  for (const { sublayers } of [...blocks, { sublayers: parts }]) {
    for (const { tensors } of sublayers) {
      const found = tensors.find((tensor) => tensor.name === name);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
