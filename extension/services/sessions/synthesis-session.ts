import { batch } from '@preact/signals-core';
import type { EvolutionState, EvolutionView } from '../../core/symbolic/evolution/evolution-view';
import type { EvolutionEvent } from '../../core/symbolic/evolution/evolve';
import type {
  EvolutionSettings,
  GssnnDocument,
} from '../../core/symbolic/evolution/gssnn-document';
import type { PanelJob } from '../../protocol/jobs';
import type { SymbolicState } from '../../protocol/symbolic';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import { reactive } from './reactive';
import type { Refusal } from '../trust';

/** Dependencies of a session. */
export interface SynthesisEnvironment {
  /** @throws UserError when the file is no log of an evolution. */
  read(file: string): Promise<EvolutionView>;
  /** Display data of a running evolution. */
  view(state: EvolutionState): Promise<EvolutionView>;
  exists(file: string): Promise<boolean>;
  describeError(error: unknown): string;
  /** Settings of the last evolution that has not written the file yet, if there is one. */
  unfinished(file: string): EvolutionSettings | undefined;
  /** Reason why nothing can be trained, or undefined. */
  blocked(): Refusal | undefined;
}

/** State of an evolution, or the reason why it can't be shown. */
type Shown = Pick<SymbolicState, 'evolution' | 'failure'>;

/** An evolution that is looked at, while it runs and when it is done. */
export class SynthesisSession extends PanelSession<SymbolicState> {
  protected readonly parts: Parts<SymbolicState> = {
    file: () => this.file,
    evolution: () => this.#fields.evolution,
    failure: () => this.#fields.failure,
    job: () => this.#fields.job,
    blocked: () => this.byTrust(() => this.#environment.blocked()?.reason),
  };

  readonly #fields = reactive<Shown & { job: PanelJob }>({
    evolution: undefined,
    failure: undefined,
    job: { kind: 'idle' },
  });
  readonly #environment: SynthesisEnvironment;
  /** State reported by the job; undefined if a document is shown. */
  #state: EvolutionState | undefined;
  /** True while a view of the state is computed. */
  #isViewing = false;

  public constructor(
    /** Path of the document. */
    public readonly file: string,
    environment: SynthesisEnvironment,
  ) {
    super();
    this.#environment = environment;
  }

  public get job(): PanelJob {
    return this.#fields.job;
  }

  /** Reads the document, unless the running evolution has newer state. */
  public async open(): Promise<void> {
    const environment = this.#environment;
    if (this.#fields.job.kind === 'running') {
      return;
    }
    const settings = environment.unfinished(this.file);
    if (settings !== undefined && !(await environment.exists(this.file))) {
      this.#setState(this.#state ?? { settings, iterations: [], models: [] });
      return;
    }
    this.#state = undefined;
    const shown = await this.#loadShown(environment.read(this.file));
    // A job that started in the meantime has newer state.
    if (!this.#isTold()) {
      this.#show(shown);
    }
  }

  /** The job starts. Events of an earlier run are sent again. */
  public begin(settings: EvolutionSettings): void {
    this.#setState({ settings, iterations: [], models: [] });
  }

  public setJob(job: PanelJob): void {
    this.#fields.job = job;
  }

  public receive(event: EvolutionEvent): void {
    const state = this.#state;
    if (state === undefined) {
      return;
    }
    switch (event.kind) {
      case 'lines':
        this.#setState({ ...state, lines: event.lines });
        break;
      case 'baseline':
        this.#setState({ ...state, baselines: [...(state.baselines ?? []), event.metrics] });
        break;
      case 'model':
        this.#setState({ ...state, models: [...state.models, event.model] });
        break;
      case 'iteration':
        this.#setState({ ...state, iterations: [...state.iterations, event.record], models: [] });
        break;
    }
  }

  public finish(document: GssnnDocument): void {
    this.#setState({ ...document, models: [] });
  }

  #setState(state: EvolutionState): void {
    this.#state = state;
    if (!this.#isViewing) {
      void this.#followState();
    }
  }

  /** Shows states until the last one; states that arrive meanwhile are merged. */
  async #followState(): Promise<void> {
    this.#isViewing = true;
    let viewed: EvolutionState | undefined;
    while (this.#state !== undefined && this.#state !== viewed) {
      viewed = this.#state;
      const shown = await this.#loadShown(this.#environment.view(viewed));
      if (this.#isTold()) {
        this.#show(shown);
      }
    }
    this.#isViewing = false;
  }

  #isTold(): boolean {
    return this.#state !== undefined;
  }

  #show(shown: Shown): void {
    batch(() => Object.assign(this.#fields, shown));
  }

  async #loadShown(view: Promise<EvolutionView>): Promise<Shown> {
    try {
      return { evolution: await view, failure: undefined };
    } catch (error) {
      // For example a log written by another program, whose programs need not parse.
      return { evolution: undefined, failure: this.#environment.describeError(error) };
    }
  }
}
