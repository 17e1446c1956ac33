import { basename } from 'node:path';
import { l10n } from 'vscode';
import type { Drift } from '../../core/evaluate/drift';
import type { TaskEvaluation } from '../../core/evaluate/evaluate-models';
import type { Evaluation, EvaluationResult } from '../../core/evaluate/evaluation';
import { patchesOfPlan } from '../../core/pipelines/patching/planned-patches';
import { planFor } from '../../core/plans/plan';
import type { Plan } from '../../core/plans/plan';
import { formatCount, formatPercent } from '../../core/format';
import { drift } from '../../core/operations/drift';
import { evaluate } from '../../core/operations/evaluate';
import type { GivenOf } from '../../core/operations/fields';
import { profile } from '../../core/operations/profile';
import { prune } from '../../core/operations/prune';
import { scoreExperts } from '../../core/operations/score-experts';
import { bundledText } from '../../core/prune/layer-profile';
import type { LayerProfile, ProfileEvaluation } from '../../core/prune/layer-profile';
import { counts } from '../counts';
import type { Documents } from '../documents/documents';
import { describeDrift, inOwnIds } from '../reports/drift-summary';
import { describeChoice, describeEvaluation } from '../reports/evaluation-summary';
import { describeProfile } from '../reports/profile-summary';
import type { JobOutcome } from './job-handler';
import type { JobRecord } from './job-record';
import type { JobService } from './job-service';
import type { RequestOf, ResultOf } from './operations';
import { pruneReport } from '../reports/model-report';
import type { ModelSession } from '../sessions/model-session';
import type { ModelSessions } from '../sessions/model-sessions';
import { Signal } from '../sessions/signal';
import { patchReport, verdict } from '../reports/patch-report';
import { taskReport, taskSummary } from '../reports/task-report';
import { idleSettings } from '../documents/plans';
import { isRegression, qualityNote } from '../reports/quality-report';
import type { Reports } from '../reports/reports';
import { isWhole, wholeModel } from '../sessions/selection';
import type { Choice } from '../sessions/selection';
import type { Settings } from '../settings';
import { assertAllowed } from '../trust';

/** How thoroughly a model is profiled. */
export type ProfileEffort = 'quick' | 'standard';

/** One pass over little text: enough to see which sublayers stand out. */
const quickLook = {
  search: 'one-shot',
  baselines: false,
  sequences: 2,
  length: 128,
} satisfies GivenOf<typeof profile.fields>;

/** The jobs of the heatmap: what they are asked, and what becomes of their results. */
export class ModelJobs {
  /** The last drift of each model that was looked at, by its path. */
  public readonly drifts = new Map<string, Drift>();
  /** Tells the path of a model whose drift is known. */
  public readonly drifted = new Signal<string>();
  readonly #jobs: JobService;
  readonly #settings: Settings;
  readonly #documents: Documents;
  readonly #sessions: ModelSessions;
  readonly #reports: Reports;

  /** @param isShown whether a panel shows a session now */
  public constructor(
    jobs: JobService,
    settings: Settings,
    documents: Documents,
    sessions: ModelSessions,
    reports: Reports,
    isShown: (session: ModelSession) => boolean,
  ) {
    this.#jobs = jobs;
    this.#settings = settings;
    this.#documents = documents;
    this.#sessions = sessions;
    this.#reports = reports;
    const shows = (job: JobRecord): boolean => sessions.of(job.model).some(isShown);
    jobs.handle('profile', {
      begin: async ({ request }, resumed) => {
        (await sessions.open(request.model, request.out)).searchStarted(resumed);
      },
      event: (event, job) => {
        this.#sessionOf(job)?.applyEvent(event);
      },
      done: (profile, job) => {
        this.#sessionOf(job)?.searchEnded();
        this.#sessionOf(job)?.loadProfile(profile);
        return { summary: describeProfile(profile), shown: true };
      },
      stopped: (job) => this.#sessionOf(job)?.searchEnded(),
      isShown: (job) => sessions.of(job.model).some((one) => isShown(one) && isOf(one, job)),
    });
    jobs.handle('prune', {
      done: async (result, { request }) => this.#pruned(result, request),
      isShown: shows,
    });
    jobs.handle('patch', {
      done: async (result, { request }) => this.#patched(result, request),
      isShown: shows,
    });
    jobs.handle('evaluate', {
      done: async (result, { request }) => this.#evaluated(result, request),
      isShown: shows,
    });
    jobs.handle('score-experts', {
      done: async (result, job) => this.#expertsScored(result, job),
      isShown: shows,
    });
    jobs.handle('report', {
      done: ({ path }) => ({ summary: l10n.t('Wrote {0}.', basename(path)) }),
    });
    jobs.handle('drift', {
      done: (result, job) => this.#drifted(result, job),
      isShown: shows,
    });
  }

  /** Measures how important each sublayer is, and the order to remove them in. */
  public async profile(
    session: ModelSession,
    effort: ProfileEffort = 'standard',
  ): Promise<LayerProfile> {
    assertAllowed(session.blocked);
    const { name } = session.model;
    const request = this.profileRequest(session, effort);
    return this.#jobs.run({ operation: 'profile', name, request });
  }

  /** What a profile is asked for: what the settings say, or a look at little text. */
  public profileRequest(session: ModelSession, effort: ProfileEffort): RequestOf<'profile'> {
    const given = {
      model: session.model.path,
      protect: session.selection.protectedIds,
      out: session.profilePath,
      ...this.#settings.amount(),
    };
    if (effort === 'standard') {
      return this.#settings.request(profile, given);
    }
    const { maxPositions = quickLook.length } = session.model;
    const length = Math.min(quickLook.length, maxPositions);
    const quick = { ...given, ...quickLook, length };
    return this.#settings.request(profile, quick, ['confidence', 'refine']);
  }

  public async prune(
    session: ModelSession,
    given: GivenOf<typeof prune.fields> & { readonly plan: Plan },
  ): Promise<ResultOf<'prune'>> {
    assertAllowed(session.blocked);
    const request = this.#settings.request(prune, given, idleSettings(given.plan));
    return this.#jobs.run({ operation: 'prune', name: session.model.name, request });
  }

  /** Fits a symbolic patch for a sublayer, and writes the model with it where it is accepted. */
  public async patch(
    session: ModelSession,
    request: RequestOf<'patch'>,
  ): Promise<ResultOf<'patch'>> {
    assertAllowed(session.blocked);
    return this.#jobs.run({ operation: 'patch', name: session.model.name, request });
  }

  /**
   * Perplexity of what a choice leaves, and of another model; of the original where a choice is evaluated and that is
   * not yet known.
   */
  public async evaluate(
    session: ModelSession,
    choice: Choice,
    other?: string,
  ): Promise<ProfileEvaluation> {
    assertAllowed(session.blocked);
    const { name, path: model, fingerprint } = session.model;
    const { text } = this.#settings.request(evaluate, { model });
    const known = session.originalEvaluation;
    const isKnown = known?.text === (text ?? bundledText) && known.partial === undefined;
    const against = other ?? (isWhole(choice) || isKnown ? undefined : model);
    const plan = planFor({ path: model, fingerprint }, changesOf(choice));
    const request = this.#settings.request(evaluate, {
      model,
      ...(isWhole(choice) ? {} : { plan }),
      ...(against === undefined ? {} : { against }),
    });
    const result = await this.#jobs.run({ operation: 'evaluate', name, request });
    return evaluationOf(perplexityOf(result), choice, text);
  }

  /**
   * What the model, or what a choice leaves of it, scores on a task.
   * @param other the model to compare with; the original where a choice is evaluated
   */
  public async evaluateTask(
    session: ModelSession,
    choice: Choice,
    { task, shots }: { readonly task: string; readonly shots: number },
    other?: string,
  ): Promise<TaskEvaluation> {
    assertAllowed(session.blocked);
    const { name, path: model, fingerprint } = session.model;
    const plan = planFor({ path: model, fingerprint }, changesOf(choice));
    const against = other ?? (isWhole(choice) ? undefined : model);
    // Settings are for text.
    const request = this.#settings.request(
      evaluate,
      {
        ...{ model, task },
        ...(shots === 0 ? {} : { shots }),
        ...(isWhole(choice) ? {} : { plan }),
        ...(against === undefined ? {} : { against }),
      },
      ['text', 'gate'],
    );
    const result = await this.#jobs.run({ operation: 'evaluate', name, request });
    if (!('task' in result)) {
      throw new RangeError('a task was asked for');
    }
    return result;
  }

  /**
   * Where what a session's choice leaves drifts from the original.
   * @param original what the model was made from, where the whole model is looked at
   */
  public async drift(session: ModelSession, original?: string): Promise<ResultOf<'drift'>> {
    assertAllowed(session.blocked);
    const { name, path: model, fingerprint } = session.model;
    if (original !== undefined) {
      const request = this.#settings.request(drift, { model, against: original });
      return this.#jobs.run({ operation: 'drift', name, request });
    }
    const plan = planFor({ path: model, fingerprint }, changesOf(session.choice));
    const request = this.#settings.request(drift, { model, plan });
    return this.#jobs.run({ operation: 'drift', name, request });
  }

  /** Ranks the experts of each mixture, and plans to remove the least salient. */
  public async scoreExperts(
    session: ModelSession,
    given: { readonly ratio: number; readonly out: string },
  ): Promise<ResultOf<'score-experts'>> {
    assertAllowed(session.blocked);
    const { name, path: model } = session.model;
    const request = this.#settings.request(scoreExperts, { model, ...given });
    return this.#jobs.run({ operation: 'score-experts', name, request });
  }

  async #expertsScored(
    { mixtures, remove }: ResultOf<'score-experts'>,
    { model, request: { out } }: JobRecord<'score-experts'>,
  ): Promise<JobOutcome> {
    if (out !== undefined) {
      const plan = await this.#documents.read('plan', out);
      for (const session of this.#sessions.of(model)) {
        await session.choosePlan(plan, out);
      }
    }
    return {
      summary: l10n.t(
        'Marked for removal: {0} of {1}, the least salient.',
        ...[formatCount(remove.length), counts.experts(mixtures.flat().length)],
      ),
      shown: true,
    };
  }

  #drifted(result: ResultOf<'drift'>, { model, request }: JobRecord<'drift'>): JobOutcome {
    const shown = request.against === undefined ? result : inOwnIds(result);
    for (const session of this.#sessions.of(model)) {
      session.addDrift(choiceOf(request.plan), shown);
    }
    this.drifts.set(model, shown);
    this.drifted.fire(model);
    return { summary: describeDrift(shown), shown: true };
  }

  async #pruned(
    result: ResultOf<'prune'>,
    { model = '' }: RequestOf<'prune'>,
  ): Promise<JobOutcome> {
    const { name, ...session } = await this.#modelOf(model);
    const { path, bytesBefore, bytesAfter } = result;
    await this.#reports.showText(basename(path), path, pruneReport({ name, ...session }, result));
    const saved = formatPercent((bytesBefore - bytesAfter) / bytesBefore);
    const folder = basename(path);
    const smaller = l10n.t('{0} is {1} smaller than {2} and verified.', folder, saved, name);
    return {
      summary: smaller + qualityNote(result.quality, result.verdict),
      isWarning: isRegression(result.verdict),
    };
  }

  async #patched(result: ResultOf<'patch'>, request: RequestOf<'patch'>): Promise<JobOutcome> {
    const { name } = await this.#modelOf(request.model);
    const { plan, sublayer, written } = result;
    if (plan !== undefined) {
      const patches = patchesOfPlan(await this.#documents.read('plan', plan), plan);
      for (const patch of patches.filter((one) => one.sublayer === sublayer)) {
        for (const session of this.#sessions.of(request.model)) {
          session.addPatch(patch);
        }
      }
    }
    const title = l10n.t('{0}, patch for {1}', name, sublayer);
    await this.#reports.showText(title, `${request.out} ${sublayer}`, patchReport(name, result));
    const summary =
      written === null
        ? verdict(result)
        : l10n.t('{0} is written and verified. {1}', basename(written.path), verdict(result));
    return { summary, writesNothing: written === null };
  }

  async #evaluated(
    evaluated: ResultOf<'evaluate'>,
    { model = '', plan, against, text, shots }: RequestOf<'evaluate'>,
  ): Promise<JobOutcome> {
    const choice = choiceOf(plan);
    const other = against === undefined || against === model ? undefined : basename(against);
    if ('task' in evaluated) {
      const { name: whole } = await this.#modelOf(model);
      const name = isWhole(choice) ? whole : `${whole} ${describeChoice(choice)}`;
      const names = { name, other: other ?? l10n.t('the original') };
      const title = l10n.t('{0} on {1}', name, evaluated.task);
      await this.#reports.showText(
        title,
        `${model} ${evaluated.task}`,
        taskReport(evaluated, names, shots ?? 0),
      );
      return { summary: taskSummary(evaluated, names) };
    }
    const result = perplexityOf(evaluated);
    const known = this.#sessions.of(model);
    const sessions = known.length === 0 ? [await this.#sessions.open(model)] : known;
    if (result.against !== undefined && against !== undefined) {
      for (const session of this.#sessions.of(against)) {
        session.addEvaluation(wholeModel, evaluationOf(result.against, wholeModel, text));
      }
    }
    for (const session of sessions) {
      session.addEvaluation(choice, evaluationOf(result, choice, text));
      const { profilePath, model: measured, evaluations } = session;
      await this.#documents.keepEvaluations(profilePath, measured.fingerprint, evaluations);
    }
    const original = sessions[0]?.originalEvaluation;
    return {
      summary: describeEvaluation(choice, result, {
        ...(original === undefined ? {} : { original }),
        ...(other === undefined || result.against === undefined
          ? {}
          : { other: { name: other, evaluation: result.against } }),
      }),
      shown: other === undefined && !isWhole(choice),
    };
  }

  #sessionOf(job: JobRecord<'profile'>): ModelSession | undefined {
    return this.#sessions.of(job.model).find((session) => isOf(session, job));
  }

  async #modelOf(path: string): Promise<ModelSession['model']> {
    return (this.#sessions.of(path)[0] ?? (await this.#sessions.open(path))).model;
  }
}

const changesOf = ({ removed: remove, narrow, patches: patch }: Choice) => ({
  remove,
  narrow,
  patch,
});

function choiceOf(plan: RequestOf<'drift'>['plan']): Choice {
  const { remove = [], narrow = [], patch = [] } = typeof plan === 'object' ? plan : {};
  return { removed: remove, narrow, patches: patch };
}

const isOf = ({ profilePath }: ModelSession, { request }: JobRecord<'profile'>): boolean =>
  profilePath === request.out;

/** @throws RangeError for the accuracy on a task, which is not asked for here. */
function perplexityOf(result: ResultOf<'evaluate'>): EvaluationResult {
  if ('task' in result) {
    throw new RangeError('no task was asked for');
  }
  return result;
}

const evaluationOf = (
  { perplexity, tokens, tokensPerSecond }: Evaluation,
  { removed }: Choice,
  text = bundledText,
): ProfileEvaluation => ({ rounds: removed.length, text, perplexity, tokens, tokensPerSecond });
