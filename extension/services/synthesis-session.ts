import { viewEvolution } from '../core/symbolic/evolution/evolution-view';
import type { EvolutionState } from '../core/symbolic/evolution/evolution-view';
import type { EvolutionEvent } from '../core/symbolic/evolution/evolve';
import type { EvolutionSettings, GssnnDocument } from '../core/symbolic/evolution/gssnn-document';
import type { SynthesisJob, ToSymbolic } from '../protocol/symbolic';
import { Signal } from './signal';
import { Throttle } from './throttle';
import type { Refusal } from './trust';

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

/** At most this often a webview is told how far the job is. */
const progressMilliseconds = 100;

/** An evolution that is looked at, while it runs and when it is done. */
export class SynthesisSession {
  /** What a webview has to be told. */
  public readonly messages = new Signal<ToSymbolic>();

  readonly #environment: SynthesisEnvironment;
  #state: EvolutionState | undefined;
  #shown: ToSymbolic;
  #job: SynthesisJob = { kind: 'idle' };
  readonly #progress = new Throttle(() => {
    this.messages.fire({ type: 'job', job: this.#job });
  }, progressMilliseconds);

  public constructor(
    /** Path of the document. */
    public readonly file: string,
    environment: SynthesisEnvironment,
  ) {
    this.#environment = environment;
    this.#shown = { type: 'evolution', file, evolution: undefined };
  }

  public get job(): SynthesisJob {
    return this.#job;
  }

  /** Undefined before anything is known. */
  public get state(): EvolutionState | undefined {
    return this.#state;
  }

  /** Everything that is known, for a webview that has just been made. */
  public snapshot(): ToSymbolic[] {
    return [this.#blocked(), this.#shown, { type: 'job', job: this.#job }];
  }

  /** Reads the document, unless the evolution runs and knows better. */
  public async open(): Promise<void> {
    const environment = this.#environment;
    if (this.#job.kind === 'running') {
      return;
    }
    const settings = environment.unfinished(this.file);
    if (settings !== undefined && !(await environment.exists(this.file))) {
      this.#state ??= { settings, iterations: [], models: [] };
      this.#tell();
      return;
    }
    try {
      this.#state = { ...(await environment.read(this.file)), models: [] };
      this.#tell();
    } catch (error) {
      this.#state = undefined;
      this.#show({ type: 'failed', message: environment.describeError(error) });
    }
  }

  public refreshBlocked(): void {
    this.messages.fire(this.#blocked());
  }

  /** The job begins. What an earlier run has told comes again. */
  public begin(settings: EvolutionSettings): void {
    this.#state = { settings, iterations: [], models: [] };
    this.#tell();
  }

  /** Progress comes often, and is told now and then. */
  public setJob(job: SynthesisJob): void {
    const isProgress = job.kind === 'running' && this.#job.kind === 'running';
    this.#job = job;
    if (isProgress) {
      this.#progress.trigger();
    } else {
      this.#progress.dispose();
      this.messages.fire({ type: 'job', job });
    }
  }

  public receive(event: EvolutionEvent): void {
    const state = this.#state;
    if (state === undefined) {
      return;
    }
    switch (event.kind) {
      case 'lines':
        this.#state = { ...state, lines: event.lines };
        break;
      case 'baseline':
        this.#state = { ...state, baselines: [...(state.baselines ?? []), event.metrics] };
        break;
      case 'model':
        this.#state = { ...state, models: [...state.models, event.model] };
        break;
      case 'iteration':
        this.#state = { ...state, iterations: [...state.iterations, event.record], models: [] };
        break;
    }
    this.#tell();
  }

  public finish(document: GssnnDocument): void {
    this.#state = { ...document, models: [] };
    this.#tell();
  }

  #tell(): void {
    const state = this.#state;
    if (state === undefined) {
      return;
    }
    try {
      this.#show({ type: 'evolution', file: this.file, evolution: viewEvolution(state) });
    } catch (error) {
      // A log whose programs something else has written may have such that do not parse.
      this.#show({ type: 'failed', message: this.#environment.describeError(error) });
    }
  }

  #show(message: ToSymbolic): void {
    this.#shown = message;
    this.messages.fire(message);
  }

  #blocked(): ToSymbolic {
    const reason = this.#environment.blocked()?.reason;
    return reason === undefined ? { type: 'blocked' } : { type: 'blocked', reason };
  }
}
