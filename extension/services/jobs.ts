import { CancellationTokenSource, EventEmitter, l10n, ProgressLocation, window } from 'vscode';
import type { CancellationToken, Disposable, Event, LogOutputChannel } from 'vscode';
import type { StageProgress } from '../core/jobs/job';
import { UserError } from '../core/user-error';
import type { CompressionJob } from '../protocol/compression';
import type { PanelJob } from '../protocol/heatmap';
import type { EventOf, JobEvent, Requests, WorkerRequests } from '../protocol/worker';
import { commandIds } from './command-ids';
import type { WorkerClient } from './worker-client';

/** Jobs of a model, which its heatmap tells of. */
export type ModelJobKind = Exclude<PanelJob, { kind: 'idle' }>['what'];
/** Jobs that the compression panel tells of. */
export type CompressionJobKind = Exclude<CompressionJob, { kind: 'idle' }>['what'];
export type JobKind =
  | ModelJobKind
  | CompressionJobKind
  | 'repair'
  | 'scoreData'
  | 'scoreText'
  | 'compareSubsets'
  | 'synthesize'
  | 'export';

/** What a job works on and who watches it. `Event` is what it tells. */
export interface JobSubject<Event = never> {
  /** Name of the model or data set, for people. */
  readonly name: string;
  /** Path of the model or data set. */
  readonly model: string;
  /** Whether a panel shows the progress, so that no notification is needed. */
  readonly shownInPanel: boolean;
  readonly onProgress?: (progress: StageProgress) => void;
  readonly onEvent?: (event: Event) => void;
}

export interface RunningJob {
  readonly kind: JobKind;
  readonly name: string;
  readonly model: string;
  readonly progress: StageProgress | undefined;
}

/** What shows and cancels a job has to know of where it runs. */
export interface JobRunner {
  readonly current: RunningJob | undefined;
  /** Fires when a job starts, tells its progress, or ends. */
  readonly onDidChange: Event<void>;
  cancel(): void;
}

/**
 * Runs one job at a time on a child process, the worker if none is named: a second one would only take
 * turns with the first.
 */
export class Jobs<R extends Requests<R> = WorkerRequests> implements JobRunner, Disposable {
  readonly #changed = new EventEmitter<void>();
  readonly #client: WorkerClient<R>;
  readonly #log: LogOutputChannel;
  #current: { job: RunningJob; source: CancellationTokenSource } | undefined;

  public readonly onDidChange = this.#changed.event;

  public constructor(client: WorkerClient<R>, log: LogOutputChannel) {
    this.#client = client;
    this.#log = log;
  }

  public get current(): RunningJob | undefined {
    return this.#current?.job;
  }

  public async run<M extends JobKind & keyof R>(
    kind: M,
    request: R[M][0],
    subject: JobSubject<EventOf<M>>,
  ): Promise<R[M][1]> {
    this.assertFree();
    const source = new CancellationTokenSource();
    const { name, model, onEvent } = subject;
    this.#current = { job: { kind, name, model, progress: undefined }, source };
    this.#changed.fire();
    const started = Date.now();
    this.#log.info(`${kind} ${model}`, JSON.stringify(request));
    try {
      const result = await this.#shown(subject, source, (report) =>
        this.#client.request(kind, request, {
          token: source.token,
          onProgress: (progress) => {
            this.#current = { job: { kind, name, model, progress }, source };
            this.#changed.fire();
            report(progress);
            subject.onProgress?.(progress);
          },
          onWarning: (text) => {
            this.#log.warn(text);
            void window.showWarningMessage(text);
          },
          // The worker tells of a job only what such a job tells.
          ...(onEvent === undefined ? {} : { onEvent: onEvent as (event: JobEvent) => void }),
        }),
      );
      this.#log.info(`${kind} ${model}: done in ${seconds(started)} s`);
      return result;
    } catch (error) {
      this.#log.info(`${kind} ${model}: ended after ${seconds(started)} s`);
      throw error;
    } finally {
      this.#current = undefined;
      source.dispose();
      this.#changed.fire();
    }
  }

  /** @throws UserError while a job runs. */
  public assertFree(): void {
    if (this.#current !== undefined) {
      throw new UserError(l10n.t('Another job is running: {0}.', jobTitle(this.#current.job)), {
        remedy: l10n.t('Wait for it, or cancel it in the status bar.'),
      });
    }
  }

  public cancel(): void {
    this.#current?.source.cancel();
  }

  public dispose(): void {
    this.cancel();
    this.#changed.dispose();
  }

  async #shown<T>(
    subject: Pick<JobSubject, 'shownInPanel'>,
    source: CancellationTokenSource,
    task: (report: (progress: StageProgress) => void) => Promise<T>,
  ): Promise<T> {
    const job = this.#current?.job;
    if (subject.shownInPanel || job === undefined) {
      return task(() => undefined);
    }
    const options = {
      location: ProgressLocation.Notification,
      title: jobTitle(job),
      cancellable: true,
    };
    return window.withProgress(options, async (view, token: CancellationToken) => {
      const listening = token.onCancellationRequested(() => {
        source.cancel();
      });
      const logLink = `[${l10n.t('Show Log')}](command:${commandIds.showLog})`;
      let shown = 0;
      try {
        return await task((progress) => {
          const percent = percentOf(progress);
          view.report({
            message: `${progress.stage} · ${logLink}`,
            increment: Math.max(0, percent - shown),
          });
          shown = Math.max(shown, percent);
        });
      } finally {
        listening.dispose();
      }
    });
  }
}

/** `Profiling espalier-sample`. */
export function jobTitle({ kind, name }: Pick<RunningJob, 'kind' | 'name'>): string {
  switch (kind) {
    case 'profile':
      return l10n.t('Profiling {0}', name);
    case 'prune':
      return l10n.t('Pruning {0}', name);
    case 'evaluate':
      return l10n.t('Evaluating {0}', name);
    case 'patch':
      return l10n.t('Patching {0}', name);
    case 'sensitivity':
      return l10n.t('Measuring compression of {0}', name);
    case 'planBudget':
      return l10n.t('Planning compression of {0}', name);
    case 'compress':
      return l10n.t('Compressing {0}', name);
    case 'repair':
      return l10n.t('Repair {0}', name);
    case 'scoreData':
      return l10n.t('Scoring {0}', name);
    case 'scoreText':
      return l10n.t('Scoring text: {0}', name);
    case 'compareSubsets':
      return l10n.t('Comparing subsets of {0}', name);
    case 'synthesize':
      return l10n.t('Synthesizing modules in {0}', name);
    case 'export':
      return l10n.t('Exporting from {0}', name);
  }
}

export function percentOf({ done, total }: StageProgress): number {
  return total > 0 ? Math.min(100, Math.floor((100 * done) / total)) : 0;
}

const seconds = (started: number): string => ((Date.now() - started) / 1000).toFixed(1);
