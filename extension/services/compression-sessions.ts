import { basename, dirname, join } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { Disposable, LogOutputChannel, Memento } from 'vscode';
import { refusalsOf } from '../core/models/capabilities';
import type { ModelSummary } from '../core/models/model-summary';
import { CompressionSession } from './compression-session';
import type { StoredCompression } from './compression-session';
import {
  fileExists,
  profilePathOf,
  readProfile,
  readSensitivity,
  sensitivityPathOf,
} from './documents';
import type { JobService } from './jobs/job-service';
import { jobsAbout, panelJobOf, warningsOf } from './jobs/panel-job';
import { isModelFile } from './model-file';
import type { OpenModels } from './open-models';
import { reportError } from './report-error';
import { refreshOnTrust, whyBlocked } from './trust';

/** The sessions of this window, one for each sensitivity table of a model. */
export class CompressionSessions implements Disposable {
  readonly #models: OpenModels;
  readonly #memento: Memento;
  readonly #jobs: JobService;
  readonly #log: LogOutputChannel;
  readonly #sessions = new Map<string, CompressionSession>();
  readonly #listeners: readonly Pick<Disposable, 'dispose'>[];

  public constructor(
    models: OpenModels,
    memento: Memento,
    jobs: JobService,
    log: LogOutputChannel,
  ) {
    this.#models = models;
    this.#memento = memento;
    this.#jobs = jobs;
    this.#log = log;
    this.#listeners = [
      refreshOnTrust(() => this.#sessions.values()),
      jobs.changed.listen(({ model }) => {
        for (const session of this.#sessions.values()) {
          // The place of a job that waits changes with others.
          if (session.model.path === model || session.job.kind === 'queued') {
            this.#tellJob(session);
          }
        }
      }),
    ];
  }

  /** The session of the model that a path points at, its table loaded. */
  public async open(path: string, file?: string): Promise<CompressionSession> {
    const { summary, capabilities } = await this.#models.inspect(path);
    const unable = refusalsOf(capabilities).compress;
    return this.#openAs(summary, file ?? sensitivityPathOf(summary.path), unable);
  }

  /** The session of a table, which shows its numbers even where the model itself is not. */
  public async openTable(file: string): Promise<CompressionSession> {
    const { model } = await readSensitivity(file);
    const { path } = model;
    const beside = join(dirname(file), isModelFile(path) ? basename(path) : model.name);
    for (const place of [path, beside]) {
      if (await fileExists(isModelFile(place) ? place : join(place, 'config.json'))) {
        return this.open(place, file);
      }
    }
    return this.#openAs(model, file, l10n.t('The model {0} is not on this machine.', path));
  }

  /** Reads a session's table again, after something else has written it. */
  public async reload(file: string): Promise<void> {
    const session = this.#sessions.get(file);
    if (session !== undefined && session.job.kind !== 'running') {
      await this.#load(session);
    }
  }

  /** Reads a layer profile again, from which plans take what removing sublayers costs. */
  public async reloadProfile(file: string): Promise<void> {
    for (const session of this.#sessions.values()) {
      if (profilePathOf(session.model.path) === file) {
        await this.#loadProfile(session);
      }
    }
  }

  /** The sessions of a model that have been opened. */
  public of(model: string): readonly CompressionSession[] {
    return [...this.#sessions.values()].filter((session) => session.model.path === model);
  }

  public dispose(): void {
    for (const listener of this.#listeners) {
      listener.dispose();
    }
  }

  async #openAs(model: ModelSummary, file: string, unable?: string): Promise<CompressionSession> {
    const known = this.#sessions.get(file);
    if (known?.model.fingerprint === model.fingerprint || known?.job.kind === 'running') {
      return known;
    }
    const key = `compression:${file}`;
    const stored = this.#memento.get<StoredCompression>(key);
    const session = new CompressionSession(
      model,
      file,
      {
        blocked: () =>
          unable === undefined
            ? whyBlocked({ trusted: workspace.isTrusted, scheme: 'file' })
            : { reason: unable, needsTrust: false },
        save: (next) => {
          void this.#memento.update(key, next);
        },
      },
      stored?.fingerprint === model.fingerprint ? stored : undefined,
    );
    this.#sessions.set(file, session);
    this.#tellJob(session);
    // Last, as whoever else opens the session meanwhile may start a job in it.
    await this.#load(session);
    return session;
  }

  #tellJob(session: CompressionSession): void {
    const { model, file } = session;
    const jobs = jobsAbout(
      this.#jobs.jobs,
      ['sensitivity', 'plan-compression', 'compress'],
      (job) =>
        job.model === model.path && (job.operation !== 'sensitivity' || job.request.out === file),
    );
    session.setJob(panelJobOf(this.#jobs, jobs), warningsOf(jobs));
  }

  async #load(session: CompressionSession): Promise<void> {
    const { file, model } = session;
    try {
      const table = (await fileExists(file)) ? await readSensitivity(file) : undefined;
      const isOther = table !== undefined && table.model.fingerprint !== model.fingerprint;
      session.loadTable(
        table,
        isOther
          ? l10n.t('{0} was made for other weights or another config.json.', basename(file))
          : undefined,
      );
    } catch (error) {
      void reportError(error, this.#log);
    }
    await this.#loadProfile(session);
  }

  async #loadProfile(session: CompressionSession): Promise<void> {
    try {
      const profile = profilePathOf(session.model.path);
      session.loadProfile((await fileExists(profile)) ? await readProfile(profile) : undefined);
    } catch (error) {
      void reportError(error, this.#log);
    }
  }
}
