import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { Disposable, LogOutputChannel } from 'vscode';
import { previewPrunedFile } from '../core/export/preview-file';
import { previewPrunedConfig } from '../core/export/pruned-config';
import type { PlannedPatch } from '../core/export/plan';
import { refusalsOf } from '../core/models/capabilities';
import type { Unable } from '../core/models/capabilities';
import type { ModelSummary } from '../core/models/model-summary';
import type { HeatmapState } from '../protocol/heatmap';
import { fileExists, profilePathOf, readProfile } from './documents';
import { diffLines } from './line-diff';
import { isModelFile } from './model-file';
import { ModelSession } from './model-session';
import type { JobService } from './jobs/job-service';
import { jobsAbout, panelJobOf, warningsOf } from './jobs/panel-job';
import type { OpenModels } from './open-models';
import { describedPatches } from './patches';
import { describeError, reportError } from './report-error';
import type { SessionStore } from './session-store';
import { refreshOnTrust, whyBlocked } from './trust';

/** What cannot be done with a model. */
interface Limits {
  readonly cannot: Unable;
  /** Why the model is not here, if so. */
  readonly missing?: string;
}

/** The sessions of this window, one for each profile of a model. */
export class ModelSessions implements Disposable {
  readonly #models: OpenModels;
  readonly #store: SessionStore;
  readonly #jobs: JobService;
  readonly #log: LogOutputChannel;
  readonly #sessions = new Map<string, ModelSession>();
  readonly #listeners: readonly Pick<Disposable, 'dispose'>[];

  public constructor(
    models: OpenModels,
    store: SessionStore,
    jobs: JobService,
    log: LogOutputChannel,
  ) {
    this.#models = models;
    this.#store = store;
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

  /**
   * The session of the model that a path points at, its profile loaded. A model that has changed
   * on disk gets a new one.
   */
  public async open(path: string, profilePath?: string): Promise<ModelSession> {
    const { summary, capabilities } = await this.#models.inspect(path);
    const cannot = refusalsOf(capabilities);
    return this.#openAs(summary, profilePath ?? profilePathOf(summary.path), { cannot });
  }

  /** The session of a profile, which shows its numbers even where the model itself is not. */
  public async openProfile(profilePath: string): Promise<ModelSession> {
    const profile = await readProfile(profilePath);
    const { path } = profile.model;
    const beside = join(
      dirname(profilePath),
      isModelFile(path) ? basename(path) : profile.model.name,
    );
    for (const place of [path, beside]) {
      if (await fileExists(isModelFile(place) ? place : join(place, 'config.json'))) {
        return this.open(place, profilePath);
      }
    }
    return this.#openAs(profile.model, profilePath, {
      cannot: {},
      missing: l10n.t('The model {0} is not on this machine.', path),
    });
  }

  /** Reads a session's profile again, after something else has written it. */
  public async reload(profilePath: string): Promise<void> {
    const session = this.#sessions.get(profilePath);
    if (session !== undefined && session.job.kind !== 'running') {
      await this.#loadProfile(session);
    }
  }

  /** The sessions of a model that have been opened. */
  public of(model: string): readonly ModelSession[] {
    return [...this.#sessions.values()].filter((session) => session.model.path === model);
  }

  public dispose(): void {
    for (const listener of this.#listeners) {
      listener.dispose();
    }
  }

  async #openAs(model: ModelSummary, profilePath: string, limits: Limits): Promise<ModelSession> {
    const known = this.#sessions.get(profilePath);
    if (known?.model.fingerprint === model.fingerprint || known?.job.kind === 'running') {
      return known;
    }
    const session = await this.#create(model, profilePath, limits);
    const raced = this.#sessions.get(profilePath);
    if (raced !== undefined && raced !== known) {
      return raced;
    }
    this.#sessions.set(profilePath, session);
    return session;
  }

  async #create(
    model: ModelSummary,
    profilePath: string,
    { cannot, missing }: Limits,
  ): Promise<ModelSession> {
    const config =
      missing === undefined && !isModelFile(model.path)
        ? await readFile(join(model.path, 'config.json'), 'utf8')
        : undefined;
    const session = new ModelSession(
      model,
      profilePath,
      {
        cannot,
        preview: (removed, patches) =>
          missing === undefined
            ? previewOf(config, removed, patches, model)
            : { lines: [], loadsWith: missing },
        blocked: () =>
          missing === undefined
            ? whyBlocked({ trusted: workspace.isTrusted, scheme: 'file' })
            : { reason: missing, needsTrust: false },
        save: (stored) => {
          void this.#store.set(profilePath, stored);
        },
      },
      this.#store.get(profilePath, model.fingerprint),
    );
    await this.#loadProfile(session);
    this.#tellJob(session);
    return session;
  }

  #tellJob(session: ModelSession): void {
    const { model, profilePath } = session;
    const jobs = jobsAbout(
      this.#jobs.jobs,
      ['profile', 'prune', 'evaluate', 'patch'],
      (job) =>
        job.model === model.path &&
        (job.operation !== 'profile' || job.request.out === profilePath),
    );
    session.setJob(panelJobOf(this.#jobs, jobs), warningsOf(jobs));
  }

  async #loadProfile(session: ModelSession): Promise<void> {
    if (!(await fileExists(session.profilePath))) {
      session.loadProfile(undefined);
      return;
    }
    try {
      const profile = await readProfile(session.profilePath);
      session.setWarning(
        profile.model.fingerprint === session.model.fingerprint
          ? undefined
          : l10n.t(
              '{0} was made for other weights or another config.json.',
              basename(session.profilePath),
            ),
      );
      session.loadProfile(profile);
    } catch (error) {
      void reportError(error, this.#log);
    }
  }
}

/** What becomes of config.json, or of the header of a model file. */
function previewOf(
  config: string | undefined,
  removed: readonly string[],
  patches: readonly PlannedPatch[],
  model: ModelSummary,
): HeatmapState['configPreview'] {
  const unchanged = config === undefined ? [] : diffLines(config, config);
  if (removed.length === 0) {
    return { lines: unchanged, loadsWith: '' };
  }
  try {
    const { before, after, loadsWith } =
      config === undefined
        ? previewPrunedFile(removed, model)
        : previewPrunedConfig(config, removed, model, describedPatches(patches));
    return { lines: before === after ? unchanged : diffLines(before, after), loadsWith };
  } catch (error) {
    return { lines: unchanged, loadsWith: describeError(error) };
  }
}
