import { planFor } from '../../core/plans/plan';
import { drift } from '../../core/operations/drift';
import { evaluate } from '../../core/operations/evaluate';
import type { GivenOf } from '../../core/operations/fields';
import { profile } from '../../core/operations/profile';
import { bundledText } from '../../core/prune/layer-profile';
import type { ModelSession } from '../sessions/model-session';
import { isWhole } from '../sessions/selection';
import type { Choice } from '../sessions/selection';
import type { Settings } from '../settings';
import { assertAllowed } from '../trust';
import type { Refusal } from '../trust';
import type { JobService } from './job-service';
import type { Operation, RequestOf, ResultOf } from './operations';

/** Thoroughness of a profile. */
export type ProfileEffort = 'quick' | 'standard';

/** One pass over little text: enough to see which sublayers stand out. */
const quickLook = {
  search: 'one-shot',
  baselines: false,
  sequences: 2,
  length: 128,
} satisfies GivenOf<typeof profile.fields>;

/** Runs a job for the model of a session, unless something forbids it. */
export async function runFor<O extends Operation>(
  jobs: JobService,
  session: { readonly blocked: Refusal | undefined; readonly model: { readonly name: string } },
  operation: O,
  request: RequestOf<O>,
): Promise<ResultOf<O>> {
  assertAllowed(session.blocked);
  return jobs.run({ operation, name: session.model.name, request });
}

/** A profile as the settings say, or a quick look at little text. */
export function profileRequest(
  settings: Settings,
  session: ModelSession,
  effort: ProfileEffort = 'standard',
): RequestOf<'profile'> {
  const given = {
    model: session.model.path,
    protect: session.selection.protectedIds,
    out: session.profilePath,
    ...settings.amount(),
  };
  if (effort === 'standard') {
    return settings.request(profile, given);
  }
  const { maxPositions = quickLook.length } = session.model;
  const length = Math.min(quickLook.length, maxPositions);
  return settings.request(profile, { ...given, ...quickLook, length }, ['confidence', 'refine']);
}

/**
 * Request for the perplexity of a selection and of another model.
 * @param other the original if a selection is evaluated and the original's perplexity is not yet known
 */
export function perplexityRequest(
  settings: Settings,
  session: ModelSession,
  choice: Choice,
  other?: string,
): RequestOf<'evaluate'> {
  const model = session.model.path;
  const { text } = settings.request(evaluate, { model });
  const known = session.originalEvaluation;
  const isKnown = known?.text === (text ?? bundledText) && known.partial === undefined;
  const against = other ?? (isWhole(choice) || isKnown ? undefined : model);
  return settings.request(evaluate, { ...chosen(session, choice), ...compared(against) });
}

/**
 * Request for the task score of the model or of a selection.
 * @param other model to compare with; the original if a selection is evaluated
 */
export function taskRequest(
  settings: Settings,
  session: ModelSession,
  choice: Choice,
  { task, shots }: { readonly task: string; readonly shots: number },
  other?: string,
): RequestOf<'evaluate'> {
  const against = other ?? (isWhole(choice) ? undefined : session.model.path);
  return settings.request(
    evaluate,
    { ...chosen(session, choice), ...compared(against), task, ...(shots === 0 ? {} : { shots }) },
    // Settings are for text.
    ['text', 'require'],
  );
}

/**
 * Request for the drift of a session's selection from the original.
 * @param original source of the model if nothing is selected
 */
export function driftRequest(
  settings: Settings,
  session: ModelSession,
  original?: string,
): RequestOf<'drift'> {
  const { path: model } = session.model;
  return original === undefined
    ? settings.request(drift, { model, plan: choicePlan(session, session.choice) })
    : settings.request(drift, { model, against: original });
}

const choicePlan = (
  { model: { path, fingerprint } }: ModelSession,
  { removed: remove, widths, patches: patch }: Choice,
) => planFor({ path, fingerprint }, { remove, widths, patch });

const chosen = (session: ModelSession, choice: Choice) => ({
  model: session.model.path,
  ...(isWhole(choice) ? {} : { plan: choicePlan(session, choice) }),
});

const compared = (against: string | undefined) => (against === undefined ? {} : { against });
