import { viewEvolution } from '../../core/symbolic/evolution/evolution-view';
import type { EvolutionState } from '../../core/symbolic/evolution/evolution-view';
import type { EvolutionEvent } from '../../core/symbolic/evolution/evolve';
import type {
  EvolutionSettings,
  GssnnDocument,
} from '../../core/symbolic/evolution/gssnn-document';
import type { SymbolicState, SynthesisJob } from '../../protocol/symbolic';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import type { Refusal } from '../trust';

/** What a session needs from outside of itself. */
export interface SynthesisEnvironment {
  /** @throws UserError when the file is no log of an evolution. */
  read(file: string): Promise<GssnnDocument>;
  exists(file: string): Promise<boolean>;
  describeError(error: unknown): string;
  /** Settings of the last evolution that has not written the file yet, if there is one. */
  unfinished(file: string): EvolutionSettings | undefined;
  /** Why nothing can be trained, if so. */
  blocked(): Refusal | undefined;
}

/** What is known of an evolution, or why it cannot be shown. */
type Shown = Pick<SymbolicState, 'evolution' | 'failure'>;

/** An evolution that is looked at, while it runs and when it is done. */
export class SynthesisSession extends PanelSession<SymbolicState> {
  protected readonly parts: Parts<SymbolicState> = {
    file: () => this.file,
    evolution: () => this.#view().evolution,
    failure: () => this.#view().failure,
    job: () => this.#job,
    blocked: () => this.#environment.blocked()?.reason,
  };

  readonly #environment: SynthesisEnvironment;
  #state: EvolutionState | undefined;
  /** Made of the state where it is asked for. */
  #shown: Shown | undefined = { evolution: undefined, failure: undefined };
  #job: SynthesisJob = { kind: 'idle' };

  public constructor(
    /** Path of the document. */
    public readonly file: string,
    environment: SynthesisEnvironment,
  ) {
    super();
    this.#environment = environment;
  }

  public get job(): SynthesisJob {
    return this.#job;
  }

  /** Undefined before anything is known. */
  public get state(): EvolutionState | undefined {
    return this.#state;
  }

  /** Reads the document, unless the evolution runs and knows better. */
  public async open(): Promise<void> {
    const environment = this.#environment;
    if (this.#job.kind === 'running') {
      return;
    }
    const settings = environment.unfinished(this.file);
    if (settings !== undefined && !(await environment.exists(this.file))) {
      this.#setState(this.#state ?? { settings, iterations: [], models: [] });
      return;
    }
    try {
      this.#setState({ ...(await environment.read(this.file)), models: [] });
    } catch (error) {
      this.#state = undefined;
      this.#show({ evolution: undefined, failure: environment.describeError(error) });
    }
  }

  public refreshBlocked(): void {
    this.tell('blocked');
  }

  /** The job begins. What an earlier run has told comes again. */
  public begin(settings: EvolutionSettings): void {
    this.#setState({ settings, iterations: [], models: [] });
  }

  public setJob(job: SynthesisJob): void {
    this.#job = job;
    this.tell('job');
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
    this.#show(undefined);
  }

  #show(shown: Shown | undefined): void {
    this.#shown = shown;
    this.tell('evolution', 'failure');
  }

  #view(): Shown {
    this.#shown ??= this.#viewOf(this.#state);
    return this.#shown;
  }

  #viewOf(state: EvolutionState | undefined): Shown {
    try {
      return { evolution: state && viewEvolution(state), failure: undefined };
    } catch (error) {
      // A log whose programs something else has written may have such that do not parse.
      return { evolution: undefined, failure: this.#environment.describeError(error) };
    }
  }
}
