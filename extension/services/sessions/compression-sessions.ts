import { basename } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { LogOutputChannel, Memento } from 'vscode';
import { listRefusals } from '../../core/models/capabilities';
import type { ModelSummary } from '../../core/models/model-summary';
import type { BudgetPlans } from '../documents/budget-plans';
import { CompressionSession } from './compression-session';
import { offeredSizes, offeredTypes } from './frontier-points';
import type { StoredCompression } from './compression-session';
import {
  fileExists,
  findModel,
  defaultProfilePath,
  defaultSensitivityPath,
} from '../documents/documents';
import type { Documents } from '../documents/documents';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { isAboutDocument } from '../jobs/panel-job';
import type { OpenModels } from '../documents/open-models';
import { reportError } from '../report-error';
import { Sessions } from './sessions';
import { explainBlocked } from '../trust';
import type { Refusal } from '../trust';
import { localise } from '../localise';

/** The sessions of this window, one for each sensitivity profile of a model. */
export class CompressionSessions extends Sessions<CompressionSession> {
  protected readonly panel = 'compression';
  readonly #models: OpenModels;
  readonly #documents: Documents;
  readonly #plans: BudgetPlans;
  readonly #memento: Memento;
  readonly #log: LogOutputChannel;

  public constructor(
    models: OpenModels,
    documents: Documents,
    plans: BudgetPlans,
    memento: Memento,
    jobs: JobService,
    log: LogOutputChannel,
  ) {
    super(jobs);
    this.#models = models;
    this.#documents = documents;
    this.#plans = plans;
    this.#memento = memento;
    this.#log = log;
  }

  /** The session of the model that a path points at, its table loaded. */
  public async open(path: string, file?: string): Promise<CompressionSession> {
    const { summary, capabilities } = await this.#models.inspect(path);
    const { compress } = capabilities;
    const reason = listRefusals(capabilities).compress;
    return this.#openAs(
      summary,
      file ?? defaultSensitivityPath(summary.path),
      compress.able || reason === undefined
        ? undefined
        : { reason: localise(reason), code: compress.code },
    );
  }

  /** Session of a sensitivity profile. It shows the values even if the model isn't available. */
  public async openTable(file: string): Promise<CompressionSession> {
    const { model } = await this.#documents.read('sensitivity', file);
    const place = await findModel(model, file);
    if (place !== undefined) {
      return this.open(place, file);
    }
    return this.#openAs(model, file, {
      reason: l10n.t('The model {0} is not on this machine.', model.path),
      code: 'path-missing',
    });
  }

  /** Reads a session's table again, after something else has written it. */
  public async reload(file: string): Promise<void> {
    const session = this.idle(file);
    if (session !== undefined) {
      await this.#load(session);
    }
  }

  /** Rereads a layer profile, from which plans take the distances of removed sublayers. */
  public async reloadProfile(file: string): Promise<void> {
    for (const session of this.known) {
      if (defaultProfilePath(session.model.path) === file) {
        await this.#loadProfile(session);
      }
    }
  }

  /** The sessions of a model that have been opened. */
  public of(model: string): readonly CompressionSession[] {
    return this.known.filter((session) => session.model.path === model);
  }

  protected isAbout(job: JobRecord, { model, file }: CompressionSession): boolean {
    return isAboutDocument(job, model.path, file);
  }

  async #openAs(model: ModelSummary, file: string, unable?: Refusal): Promise<CompressionSession> {
    return this.openAt(
      file,
      (known) => known.model.fingerprint === model.fingerprint,
      async () => this.#create(model, file, unable),
    );
  }

  async #create(model: ModelSummary, file: string, unable?: Refusal): Promise<CompressionSession> {
    const key = `compression:${file}`;
    const stored = this.#memento.get<StoredCompression>(key);
    const session = new CompressionSession(
      model,
      file,
      {
        blocked: () => unable ?? explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }),
        canPlan: unable === undefined || !/\.gguf$/i.test(model.path),
        save: (next) => {
          void this.#memento.update(key, next);
        },
        plans: this.#plans,
      },
      stored?.fingerprint === model.fingerprint ? stored : undefined,
    );
    await this.#load(session);
    const types = offeredSizes(this.#models, model.path).then(
      (sizes) => {
        session.setTypes(sizes.flatMap(offeredTypes));
      },
      // No format for this model, or the model is not here: there is nothing to offer.
      () => undefined,
    );
    if (!session.canPlan) {
      await types;
    }
    return session;
  }

  async #load(session: CompressionSession): Promise<void> {
    const { file, model } = session;
    try {
      const table = (await fileExists(file))
        ? await this.#documents.read('sensitivity', file)
        : undefined;
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
      const profile = defaultProfilePath(session.model.path);
      session.loadProfile(
        (await fileExists(profile))
          ? await this.#documents.read('layerProfile', profile)
          : undefined,
      );
    } catch (error) {
      void reportError(error, this.#log);
    }
  }
}
