import { l10n } from 'vscode';
import { sensitivityCalibration } from '../core/data/calibration-defaults';
import type { CompressResult } from '../core/export/compression/compress-model';
import type { PruneResult } from '../core/export/prune-result';
import type { SensitivitySettings } from '../core/tensornet/sensitivity/sensitivity-profile';
import { UserError } from '../core/user-error';
import type { BudgetChoice, MadePlan } from '../protocol/compression';
import type { CompressModelRequest, SensitivityRequest } from '../protocol/worker';
import type { CompressionSession } from './compression-session';
import { isFinal } from './interrupted-jobs';
import type { InterruptedJobs } from './interrupted-jobs';
import { JobTracker, reasonOf } from './job-tracker';
import type { CompressionJobKind, Jobs, JobSubject } from './jobs';
import { describeInPanel } from './report-error';
import type { Settings } from './settings';

/** The jobs of the compression panel: each keeps its session in step with what the worker does. */
export class CompressionJobs {
  readonly #jobs: Jobs;
  readonly #settings: Settings;
  readonly #isShown: (session: CompressionSession) => boolean;
  readonly #interrupted: InterruptedJobs;
  readonly #tracker: JobTracker;

  public constructor(
    jobs: Jobs,
    settings: Settings,
    interrupted: InterruptedJobs,
    isShown: (session: CompressionSession) => boolean,
  ) {
    this.#jobs = jobs;
    this.#settings = settings;
    this.#interrupted = interrupted;
    this.#isShown = isShown;
    this.#tracker = new JobTracker(jobs);
  }

  /** Measures what compressing each linear layer costs. */
  public async profile(session: CompressionSession, settings: SensitivitySettings): Promise<void> {
    const calibration = this.#settings.calibration(sensitivityCalibration);
    const { path, maxPositions = calibration.length } = session.model;
    await this.#measure(session, {
      model: path,
      ...this.#settings.runOptions(),
      calibration: { ...calibration, length: Math.min(calibration.length, maxPositions) },
      settings,
      out: session.file,
    });
  }

  /** Goes on with what was interrupted. */
  public async resume(session: CompressionSession): Promise<void> {
    if (session.interrupted === undefined) {
      throw new UserError(
        l10n.t('No measurement of {0} was interrupted: nothing to resume.', session.model.name),
        { remedy: l10n.t('Start one with Profile Compression Sensitivity.') },
      );
    }
    await this.#measure(session, session.interrupted.request);
  }

  /** Plans under a budget, measured on the real model. */
  public async plan(session: CompressionSession, choice: BudgetChoice): Promise<MadePlan> {
    const request = {
      model: session.model.path,
      table: session.file,
      ways: choice.ways,
      outer: choice.outer,
      budget: choice.budget,
      removable: choice.removes ? session.removable : [],
      ...this.#settings.runOptions(),
    };
    const result = await this.#track(session, 'planBudget', async (subject) =>
      this.#jobs.run('planBudget', request, subject),
    );
    const plan = { ...choice, result };
    session.setPlan(plan);
    return plan;
  }

  /** Writes the model that a plan describes. */
  public async compress(
    session: CompressionSession,
    request: CompressModelRequest,
  ): Promise<PruneResult | CompressResult> {
    return this.#track(session, 'compress', async (subject) =>
      this.#interrupted.keep({ kind: 'compress', name: session.model.name, request }, async () =>
        this.#jobs.run('compress', request, subject),
      ),
    );
  }

  /** Whether a panel tells of an error, so that no notification is needed. */
  public hasShown(error: unknown): boolean {
    return this.#tracker.hasShown(error);
  }

  async #measure(session: CompressionSession, request: SensitivityRequest): Promise<void> {
    await this.#track(session, 'sensitivity', async (subject) => {
      session.setInterrupted({ request, reason: 'crashed' });
      try {
        const table = await this.#jobs.run('sensitivity', request, {
          ...subject,
          onEvent: (event) => {
            session.applyEvent(event);
          },
        });
        session.setInterrupted(undefined);
        session.setPlan(undefined);
        session.loadTable(table);
      } catch (error) {
        session.setInterrupted({
          request,
          reason: reasonOf(error),
          message: describeInPanel(error),
        });
        throw error;
      }
    });
  }

  async #track<T>(
    session: CompressionSession,
    what: CompressionJobKind,
    task: (subject: JobSubject) => Promise<T>,
  ): Promise<T> {
    const isShown = (): boolean => this.#isShown(session);
    const resumable = (error: unknown): boolean =>
      what === 'sensitivity' || (what === 'compress' && !isFinal(error));
    return this.#tracker.track(session, { what, isShown, resumable }, task);
  }
}
