import type { Drift } from '../../core/evaluate/drift';
import type { Evaluation, EvaluationResult } from '../../core/evaluate/evaluation';
import { resolvePatches } from '../../core/pipelines/patching/planned-patches';
import type { Plan } from '../../core/plans/plan';
import { bundledText } from '../../core/prune/layer-profile';
import type { ProfileEvaluation } from '../../core/prune/layer-profile';
import type { Documents } from '../documents/documents';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { getOperation, operations } from '../jobs/operations';
import { useOwnIds } from './use-own-ids';
import type { ModelSession } from './model-session';
import type { ModelSessions } from './model-sessions';
import { wholeModel } from './selection';
import type { Choice } from './selection';
import { Signal } from './signal';

/** Drift of the models that were looked at in this window, for other panels. */
export interface KnownDrifts {
  readonly of: (model: string) => Drift | undefined;
  /** Fires the path of a model whose drift is known. */
  readonly changed: Signal<string>;
}

/** Puts results of jobs into the sessions of their models. */
export function followModelJobs(
  jobs: JobService,
  sessions: ModelSessions,
  documents: Documents,
): KnownDrifts {
  const drifts = new Map<string, Drift>();
  const changed = new Signal<string>();
  const profiled = (job: JobRecord<'profile'>): ModelSession | undefined =>
    sessions.of(job.model).find(({ profilePath }) => profilePath === job.request.out);
  jobs.follow('profile', {
    begin: async ({ request }, resumed) => {
      (await sessions.open(request.model, request.out)).searchStarted(resumed);
    },
    event: (event, job) => profiled(job)?.applyEvent(event),
    done: (profile, job) => {
      profiled(job)?.loadProfile(profile);
    },
  });
  jobs.follow('patch', {
    done: async ({ plan, sublayer }, { request }) => {
      if (plan !== undefined) {
        const patches = resolvePatches(await documents.read('plan', plan), plan);
        for (const patch of patches.filter((one) => one.sublayer === sublayer)) {
          for (const session of sessions.of(request.model)) {
            session.addPatch(patch);
          }
        }
      }
    },
  });
  jobs.follow('score-experts', {
    done: async (_, { model, request: { out } }) => {
      if (out !== undefined) {
        const plan = await documents.read('plan', out);
        for (const session of sessions.of(model)) {
          await session.choosePlan(plan, out);
        }
      }
    },
  });
  jobs.follow('drift', {
    done: (result, { model, request }) => {
      const shown = request.against === undefined ? result : useOwnIds(result);
      for (const session of sessions.of(model)) {
        session.addDrift(plannedChoice(request.plan), shown);
      }
      drifts.set(model, shown);
      changed.fire(model);
    },
  });
  jobs.follow('evaluate', {
    done: async (result, job) => {
      // Perplexities of other texts than a held-out one don't compare with those in the heatmap.
      const { base, saveBase, domains } = job.request;
      if (!('task' in result) && base === undefined && saveBase === undefined && !domains) {
        await addEvaluation(result as EvaluationResult, job, sessions, documents);
      }
    },
    original: ({ request: { model = '' } }) => sessions.of(model)[0]?.originalEvaluation,
  });
  for (const operation of operations) {
    const { measures } = getOperation(operation);
    if (measures !== undefined) {
      jobs.follow(operation, {
        done: (result, { model }) => {
          for (const session of sessions.of(model)) {
            session.addMeasurements(measures(result));
          }
        },
      });
    }
  }
  return { of: (model) => drifts.get(model), changed };
}

async function addEvaluation(
  result: EvaluationResult,
  { request: { model = '', plan, against, text } }: JobRecord<'evaluate'>,
  sessions: ModelSessions,
  documents: Documents,
): Promise<void> {
  const known = sessions.of(model);
  const own = known.length === 0 ? [await sessions.open(model)] : known;
  if (result.against !== undefined && against !== undefined) {
    for (const session of sessions.of(against)) {
      session.addEvaluation(wholeModel, jobEvaluation(result.against, wholeModel, text));
    }
  }
  const choice = plannedChoice(plan);
  for (const session of own) {
    session.addEvaluation(choice, jobEvaluation(result, choice, text));
    const { profilePath, model: measured, evaluations } = session;
    await documents.keepEvaluations(profilePath, measured.fingerprint, evaluations);
  }
}

function plannedChoice(plan: string | Plan | undefined): Choice {
  const { remove = [], widths = [], patch = [] } = typeof plan === 'object' ? plan : {};
  return { removed: remove, widths, patches: patch };
}

const jobEvaluation = (
  { perplexity, tokens, tokensPerSecond }: Evaluation,
  { removed }: Choice,
  text = bundledText,
): ProfileEvaluation => ({ rounds: removed.length, text, perplexity, tokens, tokensPerSecond });
