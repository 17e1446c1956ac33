import { basename, join } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { Disposable, LogOutputChannel } from 'vscode';
import { listRefusals } from '../../core/models/capabilities';
import type { Unable } from '../../core/models/capabilities';
import type { ModelSummary } from '../../core/models/model-summary';
import type { WidthPrunedModel } from '../../core/models/width-pruning/describe-width-pruned';
import type { HeatmapState, QuantizedSize } from '../../protocol/heatmap';
import type { OfferedSizes } from '../../core/operations/size-choices';
import { lossWords, smallLosses } from '../../core/pipelines/size-choices';
import { isSmallPerplexity } from '../../core/quality-labels';
import { runInTurns } from '../activation/run-in-turns';
import {
  fileExists,
  findModel,
  defaultProfilePath,
  defaultSensitivityPath,
} from '../documents/documents';
import type { Documents } from '../documents/documents';
import type { BudgetPlans } from '../documents/budget-plans';
import { offeredSizes, offeredTypes } from './frontier-points';
import type * as Preview from './config-preview';
import { isModelFile } from '../documents/model-file';
import { ModelSession } from './model-session';
import { isOver } from '../jobs/job-record';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { getOperation } from '../jobs/operations';
import { isAboutDocument, jobDocument } from '../jobs/panel-job';
import type { OpenModels } from '../documents/open-models';
import { describedPatches } from './patches';
import { describeError, reportError } from '../report-error';
import { isWhole } from './selection';
import type { Choice } from './selection';
import type { SessionStore } from './session-store';
import { Sessions } from './sessions';
import { explainBlocked } from '../trust';
import { localise } from '../localise';

/** Operations that a model does not support. */
interface Limits {
  readonly cannot: Unable;
  /** Reason why the model is not available, if any. */
  readonly missing?: string;
}

/** The sessions of this window, one for each profile of a model. */
export class ModelSessions extends Sessions<ModelSession> {
  protected readonly panel = 'heatmap';
  readonly #models: OpenModels;
  readonly #documents: Documents;
  readonly #plans: BudgetPlans;
  readonly #store: SessionStore;
  readonly #log: LogOutputChannel;
  /** The last read of each session's profile: one that began earlier may end later. */
  readonly #reads = new WeakMap<ModelSession, object>();
  readonly #listening: Pick<Disposable, 'dispose'>;

  public constructor(
    models: OpenModels,
    documents: Documents,
    plans: BudgetPlans,
    store: SessionStore,
    jobs: JobService,
    log: LogOutputChannel,
  ) {
    super(jobs);
    this.#models = models;
    this.#documents = documents;
    this.#plans = plans;
    this.#store = store;
    this.#log = log;
    this.#listening = jobs.changed.listen((job) => {
      if (endedWithoutResult(job, jobs)) {
        const profilePath = getOperation(job.operation).panel === this.panel && jobDocument(job);
        if (profilePath) void this.#showAgain(profilePath);
      }
    });
  }

  public override dispose(): void {
    super.dispose();
    this.#listening.dispose();
  }

  /** Session of the model at a path, with its profile loaded. A model that changed on disk gets a new session. */
  public async open(path: string, profilePath?: string): Promise<ModelSession> {
    const { summary, capabilities } = await this.#models.inspect(path);
    const cannot = listRefusals(capabilities);
    return this.#openAs(summary, profilePath ?? defaultProfilePath(summary.path), { cannot });
  }

  /** Session of a profile. It shows the values even if the model isn't available. */
  public async openProfile(profilePath: string): Promise<ModelSession> {
    const { model } = await this.#documents.read('layerProfile', profilePath);
    const place = await findModel(model, profilePath);
    if (place !== undefined) {
      return this.open(place, profilePath);
    }
    return this.#openAs(model, profilePath, {
      cannot: {},
      missing: l10n.t('The model {0} is not on this machine.', model.path),
    });
  }

  /** Reads a session's profile again, after something else has written it. */
  public async reload(profilePath: string): Promise<void> {
    const session = this.idle(profilePath);
    if (session !== undefined) {
      await this.#loadProfile(session);
    }
  }

  /** Reads a sensitivity profile again, from which the best compression plans follow. */
  public async reloadPlans(file: string): Promise<void> {
    for (const session of this.known) {
      if (defaultSensitivityPath(session.model.path) === file) {
        await this.#loadPlans(session);
      }
    }
  }

  /** The sessions of a model that have been opened. */
  public of(model: string): readonly ModelSession[] {
    return this.known.filter((session) => session.model.path === model);
  }

  protected isAbout(job: JobRecord, { model, profilePath }: ModelSession): boolean {
    return isAboutDocument(job, model.path, profilePath);
  }

  /** Restores the previous profile after a search without a result. */
  async #showAgain(profilePath: string): Promise<void> {
    if (await fileExists(profilePath)) {
      await this.reload(profilePath);
    }
  }

  async #openAs(model: ModelSummary, profilePath: string, limits: Limits): Promise<ModelSession> {
    return this.openAt(
      profilePath,
      (known) => known.model.fingerprint === model.fingerprint,
      async () => this.#create(model, profilePath, limits),
    );
  }

  async #create(
    model: ModelSummary,
    profilePath: string,
    { cannot, missing }: Limits,
  ): Promise<ModelSession> {
    const preview = await importPreview();
    const config =
      missing === undefined && !isModelFile(model.path)
        ? await preview.readConfigText(join(model.path, 'config.json'))
        : undefined;
    const session = new ModelSession(
      model,
      profilePath,
      {
        cannot,
        preview: (choice, widthPruned) =>
          missing === undefined
            ? previewChoice(config, choice, widthPruned, model, preview)
            : { lines: [], loadsWith: missing },
        widthPruned: async (changes) => this.#models.widthPruned(model.path, changes),
        showError: (error) => {
          void reportError(error, this.#log);
        },
        blocked: () =>
          missing === undefined
            ? explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' })
            : { reason: missing, code: 'path-missing' },
        save: (stored) => {
          void this.#store.set(profilePath, stored);
        },
      },
      this.#store.get(profilePath, model.fingerprint),
    );
    await this.#loadProfile(session);
    if (missing === undefined) {
      void offeredSizes(this.#models, model.path).then(
        (sizes) => {
          session.setQuantized(sizes[0] && quantizedSize(sizes[0]));
          session.setTypes(sizes.flatMap(offeredTypes));
        },
        // No format for this model: there is nothing to offer.
        () => undefined,
      );
      void this.#loadPlans(session);
      // A newer version may reject saved state; the heatmap then opens without it.
      await session.restoreWidthPruning().catch((error: unknown) => {
        session.keepWidths();
        void reportError(error, this.#log);
      });
    }
    return session;
  }

  /** Reads the best compression plans, if a sensitivity profile of the same weights lies next to the model. */
  async #loadPlans(session: ModelSession): Promise<void> {
    const { path, fingerprint } = session.model;
    const file = defaultSensitivityPath(path);
    try {
      const isCurrent =
        (await fileExists(file)) &&
        (await this.#documents.read('sensitivity', file)).model.fingerprint === fingerprint;
      session.setPlans(isCurrent ? await this.#plans.surveyAll(file) : undefined);
    } catch (error) {
      void reportError(error, this.#log);
    }
  }

  async #loadProfile(session: ModelSession): Promise<void> {
    const read = {};
    this.#reads.set(session, read);
    const isLast = (): boolean => this.#reads.get(session) === read;
    if (!(await fileExists(session.profilePath))) {
      if (isLast()) {
        session.loadProfile(undefined);
      }
      return;
    }
    try {
      const profile = await this.#documents.read('layerProfile', session.profilePath);
      if (!isLast()) {
        return;
      }
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
      if (isLast()) {
        void reportError(error, this.#log);
      }
    }
  }
}

/** The smallest size of a named type that loses little and can be taken without a warning. */
function quantizedSize({ choices, bytes: bytesBefore }: OfferedSizes): QuantizedSize | undefined {
  const [smallest] = choices
    .filter(({ kind, marks }) => kind === 'type' && marks.length === 0)
    .filter(({ loss, measured }) =>
      measured === undefined
        ? smallLosses.has(loss)
        : isSmallPerplexity(1, measured.perplexityRatio),
    )
    .sort((a, b) => a.bytes - b.bytes);
  return (
    smallest && {
      ...{ type: smallest.size, bytes: smallest.bytes, bytesBefore },
      ...{ loss: lossWords[smallest.loss], perplexityRatio: smallest.measured?.perplexityRatio },
    }
  );
}

/** True if a job ended without a result and cannot be resumed. */
const endedWithoutResult = ({ id, state }: JobRecord, { resumable }: JobService): boolean =>
  isOver({ state }) && state !== 'done' && !resumable.some((one) => one.id === id);

/** Preview of config.json, or of the header of a model file. */
function previewChoice(
  config: string | undefined,
  choice: Choice,
  widthPruned: WidthPrunedModel | undefined,
  model: ModelSummary,
  { previewPruned, diffLines }: typeof Preview,
): HeatmapState['configPreview'] {
  const unchanged = config === undefined ? [] : diffLines(config, config);
  const { removed, patches } = choice;
  if (isWhole(choice)) {
    return { lines: unchanged, loadsWith: '' };
  }
  try {
    const { before, after, loadsWith } = previewPruned(
      config,
      removed,
      model,
      describedPatches(patches),
      widthPruned,
    );
    return {
      lines: before === after ? unchanged : diffLines(before, after),
      loadsWith: localise(loadsWith),
    };
  } catch (error) {
    return { lines: unchanged, loadsWith: describeError(error) };
  }
}

async function importPreview(): Promise<typeof Preview> {
  await runInTurns([
    async () => import('../../core/models/parts/weight'),
    async () => import('../../core/models/families/mixtures/mixtures-and-mixers'),
    async () => import('../../core/models/transformer/architectures'),
    async () => import('../../core/models/encoders/encoder-architectures'),
    async () => import('../../core/models/stages/staged-families'),
  ]);
  return import('./config-preview');
}
