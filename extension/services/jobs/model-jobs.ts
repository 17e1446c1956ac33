import { basename } from 'node:path';
import { l10n } from 'vscode';
import type { Drift } from '../../core/evaluate/drift';
import type { Evaluation, EvaluationResult } from '../../core/evaluate/evaluation';
import { patchesOfPlan } from '../../core/pipelines/patching/planned-patches';
import { planFor } from '../../core/plans/plan';
import type { Plan } from '../../core/plans/plan';
import { formatDuration, formatPercent } from '../../core/format';
import { drift } from '../../core/operations/drift';
import { evaluate } from '../../core/operations/evaluate';
import type { GivenOf } from '../../core/operations/fields';
import { profile } from '../../core/operations/profile';
import { prune } from '../../core/operations/prune';
import { bundledText } from '../../core/prune/layer-profile';
import type { LayerProfile, ProfileEvaluation } from '../../core/prune/layer-profile';
import type { Documents } from '../documents/documents';
import { describeEvaluation } from '../reports/evaluation-summary';
import type { JobOutcome } from './job-handler';
import type { JobRecord } from './job-record';
import type { JobService } from './job-service';
import type { RequestOf, ResultOf } from './operations';
import { pruneReport } from '../reports/model-report';
import type { ModelSession } from '../sessions/model-session';
import type { ModelSessions } from '../sessions/model-sessions';
import { Signal } from '../sessions/signal';
import { patchReport, verdict } from '../reports/patch-report';
import { idleSettings } from '../documents/plans';
import { qualityNote, roundsNote } from '../reports/quality-report';
import type { Reports } from '../reports/reports';
import { isWhole, wholeModel } from '../sessions/selection';
import type { Choice } from '../sessions/selection';
import type { Settings } from '../settings';
import { assertAllowed } from '../trust';
import { counts } from '../counts';

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

  #drifted(result: ResultOf<'drift'>, { model, request }: JobRecord<'drift'>): JobOutcome {
    const shown = request.against === undefined ? result : inOwnIds(result);
    for (const session of this.#sessions.of(model)) {
      session.addDrift(choiceOf(request.plan), shown);
    }
    this.drifts.set(model, shown);
    this.drifted.fire(model);
    const { starts } = shown;
    const limit = formatPercent(result.limit);
    return {
      summary:
        starts === undefined
          ? l10n.t('Drift stays below {0}.', limit)
          : l10n.t('Drift reaches {0} after {1}.', limit, starts),
      shown: true,
    };
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
    return { summary: smaller + qualityNote(result.quality, result.verdict) };
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
    { model = '', plan, against, text }: RequestOf<'evaluate'>,
  ): Promise<JobOutcome> {
    const result = perplexityOf(evaluated);
    const choice = choiceOf(plan);
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
    const other = against === undefined || against === model ? undefined : basename(against);
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
  ...{ remove, narrow, patch },
});

function choiceOf(plan: RequestOf<'drift'>['plan']): Choice {
  const { remove = [], narrow = [], patch = [] } = typeof plan === 'object' ? plan : {};
  return { removed: remove, narrow, patches: patch };
}

/** What is known of the sublayers that a written model still has, by its own ids. */
function inOwnIds(drift: Drift): Drift {
  const { starts, sublayers } = drift;
  const place = sublayers.find(({ sublayer }) => sublayer === starts)?.place;
  return {
    ...drift,
    ...(starts === undefined ? {} : { starts: place ?? l10n.t('{0} of the original', starts) }),
    sublayers: sublayers.flatMap((one) =>
      one.place === undefined ? [] : [{ ...one, sublayer: one.place }],
    ),
  };
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

function describeProfile({ candidates, rounds, search, evaluations }: LayerProfile): string {
  const measured = candidates.filter(({ distance }) => distance !== null).length;
  return [
    l10n.t(
      'Measured {0} and put {1} in order of removal, in {2}.',
      ...[counts.sublayers(measured), rounds.length, formatDuration(search.seconds)],
    ),
    ...roundsNote(evaluations, rounds.length),
  ].join(' ');
}
