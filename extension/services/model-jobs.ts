import { l10n } from 'vscode';
import type { PruneResult } from '../core/export/prune-result';
import type { LayerProfile, ProfileEvaluation } from '../core/prune/layer-profile';
import { UserError } from '../core/user-error';
import type { PatchResult } from '../core/export/patching/patch-model';
import { buildRequest, asSetting } from '../core/operations/build-request';
import { evaluate } from '../core/operations/evaluate';
import type { RequestShape } from '../core/operations/build-request';
import type { Fields, GivenOf, RequestOf } from '../core/operations/fields';
import { profile } from '../core/operations/profile';
import { prune } from '../core/operations/prune';
import type { PatchLayerRequest, RequestOfOperation } from '../protocol/worker';
import { keepEvaluations } from './documents';
import { isFinal } from './interrupted-jobs';
import type { InterruptedJobs } from './interrupted-jobs';
import { JobTracker, reasonOf } from './job-tracker';
import type { Jobs, JobSubject, ModelJobKind } from './jobs';
import type { ModelSession } from './model-session';
import { describeInPanel } from './report-error';
import { wholeModel } from './selection';
import type { Choice } from './selection';
import type { Settings } from './settings';

/** Stands for the path of the held-out text that comes with the extension. */
const bundledText = 'bundled';

/** Tells whether a panel shows a session now. */
export type IsShown = (session: ModelSession) => boolean;

/** The jobs of a session: each keeps the session's state in step with what the worker does. */
export class ModelJobs {
  readonly #jobs: Jobs;
  readonly #settings: Settings;
  readonly #isShown: IsShown;
  readonly #interrupted: InterruptedJobs;
  readonly #tracker: JobTracker;

  public constructor(
    jobs: Jobs,
    settings: Settings,
    interrupted: InterruptedJobs,
    isShown: IsShown,
  ) {
    this.#jobs = jobs;
    this.#tracker = new JobTracker(jobs);
    this.#settings = settings;
    this.#interrupted = interrupted;
    this.#isShown = isShown;
  }

  /** Searches anew, or goes on with the search that was interrupted. */
  public async profile(session: ModelSession, resume: boolean): Promise<LayerProfile> {
    const request = resume ? this.#interruptedRequest(session) : this.#newRequest(session);
    return this.#track(session, 'profile', async (subject) => {
      session.searchStarted({ request, reason: 'crashed' }, resume);
      try {
        const profile = await this.#jobs.run('profile', request, {
          ...subject,
          onEvent: (event) => {
            session.applyEvent(event);
          },
        });
        session.searchEnded(undefined);
        session.loadProfile(profile);
        return profile;
      } catch (error) {
        session.searchEnded({ request, reason: reasonOf(error), message: describeInPanel(error) });
        throw error;
      }
    });
  }

  public async prune(
    session: ModelSession,
    given: GivenOf<typeof prune.fields>,
  ): Promise<PruneResult> {
    const request = this.#request(prune, given);
    return this.#track(session, 'prune', (subject) =>
      this.#jobs.run('prune', request, { ...subject, onEvent: () => undefined }),
    );
  }

  /** Fits a symbolic patch for a sublayer, and writes the model with it where it is accepted. */
  public async patch(session: ModelSession, request: PatchLayerRequest): Promise<PatchResult> {
    return this.#track(session, 'patch', async (subject) =>
      this.#interrupted.keep({ kind: 'patch', name: session.model.name, request }, async () =>
        this.#jobs.run('patch', request, subject),
      ),
    );
  }

  /** Perplexity of what a choice leaves, and of the whole model where it is not yet known. */
  public async evaluate(session: ModelSession, choice: Choice): Promise<ProfileEvaluation> {
    const request = this.#request(evaluate, { model: session.model.path });
    const text = request.text ?? bundledText;
    return this.#track(session, 'evaluate', async (subject) => {
      const measure = async (chosen: Choice): Promise<ProfileEvaluation> => {
        const plan = {
          format: 'espalier.plan',
          version: 1,
          model: { path: session.model.path, fingerprint: session.model.fingerprint },
          remove: chosen.removed,
          patch: chosen.patches,
        } as const;
        const result = await this.#jobs.run('evaluate', { ...request, plan }, subject);
        if ('task' in result) {
          throw new RangeError('no task was asked for');
        }
        const { perplexity, tokens, tokensPerSecond } = result;
        const evaluation = {
          rounds: chosen.removed.length,
          text,
          perplexity,
          tokens,
          tokensPerSecond,
        };
        session.addEvaluation(chosen, evaluation);
        return evaluation;
      };
      const original = session.originalEvaluation;
      if (choice.removed.length > 0 && original?.text !== text) {
        await measure(wholeModel);
      }
      const evaluation = await measure(choice);
      await keepEvaluations(
        session.profilePath,
        session.model.fingerprint,
        session.snapshot().profile?.evaluations ?? [],
      );
      return evaluation;
    });
  }

  /** Whether a panel shows a session and so the results of its jobs. */
  public isShown(session: ModelSession): boolean {
    return this.#isShown(session);
  }

  /** Whether a panel tells of an error, so that no notification is needed. */
  public hasShown(error: unknown): boolean {
    return this.#tracker.hasShown(error);
  }

  #request<F extends Fields>(operation: RequestShape<F>, given: GivenOf<F>): RequestOf<F> {
    const { fields } = operation;
    return buildRequest(operation, given, {
      settings: this.#settings.given(fields),
      name: asSetting(fields),
    });
  }

  #newRequest(session: ModelSession): RequestOfOperation<'profile'> {
    return this.#request(profile, {
      model: session.model.path,
      protect: session.selection.protectedIds,
      out: session.profilePath,
      ...this.#settings.amount(),
    });
  }

  #interruptedRequest(session: ModelSession): RequestOfOperation<'profile'> {
    if (session.interrupted === undefined) {
      throw new UserError(
        l10n.t('No search of {0} was interrupted: nothing to resume.', session.model.name),
        { remedy: l10n.t('Start one with Profile Layers.') },
      );
    }
    return session.interrupted.request;
  }

  async #track<T>(
    session: ModelSession,
    what: ModelJobKind,
    task: (subject: JobSubject) => Promise<T>,
  ): Promise<T> {
    const isShown = (): boolean => this.#isShown(session);
    const resumable = (error: unknown): boolean =>
      what === 'profile' || (what === 'patch' && !isFinal(error));
    return this.#tracker.track(session, { what, isShown, resumable }, task);
  }
}
