import { l10n } from 'vscode';
import type { Drift } from '../../core/evaluate/drift';
import type { Evaluation } from '../../core/evaluate/evaluation';
import { removeStale } from '../../core/jobs/partial';
import type { PanelUpdates } from '../../core/operations/presentation';
import { resolvePatches } from '../../core/pipelines/patching/planned-patches';
import type { Plan } from '../../core/plans/plan';
import { bundledText } from '../../core/prune/layer-profile';
import type { ProfileEvaluation } from '../../core/prune/layer-profile';
import type { Documents } from '../documents/documents';
import type { PanelHost } from '../jobs/job-panels';
import type { JobService } from '../jobs/job-service';
import { getOperation, operations } from '../jobs/operations';
import { wholeModel } from './selection';
import type { Choice } from './selection';
import { Signal } from './signal';

/** Drift of the models that were looked at in this window, for other panels. */
export interface KnownDrifts {
  readonly of: (model: string) => Drift | undefined;
  /** Fires the path of a model after its drift was measured. */
  readonly changed: Signal<string>;
}

type UpdateHost = Pick<PanelHost, 'sessions' | 'compressionSessions' | 'dataMaps'> & {
  readonly documents: Documents;
};

/** Makes the changes of results that operations declare in the sessions of their models. */
export function updatePanels(jobs: JobService, host: UpdateHost): KnownDrifts {
  const drifts = new Map<string, Drift>();
  const changed = new Signal<string>();
  const handlers = updateHandlers(host, (model, drift) => {
    drifts.set(model, drift);
    changed.fire(model);
  });
  for (const operation of operations) {
    const { measures, updates, lane, output } = getOperation(operation);
    jobs.follow(operation, {
      done: async (result, { model, request }) => {
        for (const update of updates?.(result, request) ?? []) {
          const handle = handlers[update.kind] as UpdateHandler<typeof update.kind>;
          await handle(update, model);
        }
        if (measures !== undefined) {
          for (const session of host.sessions.of(model)) {
            session.addMeasurements(measures(result));
          }
        }
      },
      stopped: async ({ request }) => {
        // The worker removes its temporary files; a data reader that was killed could not.
        if (lane === 'dataReader' && output !== undefined) {
          await removeStale(output(request)).catch(() => undefined);
        }
      },
    });
  }
  return { of: (model) => drifts.get(model), changed };
}

type UpdateHandler<Kind extends keyof PanelUpdates> = (
  update: PanelUpdates[Kind],
  model: string,
) => Promise<void> | void;

function updateHandlers(
  { sessions, compressionSessions, dataMaps, documents }: UpdateHost,
  setDrift: (model: string, drift: Drift) => void,
): { readonly [Kind in keyof PanelUpdates]: UpdateHandler<Kind> } {
  return {
    selection: async ({ plan: path }, model) => {
      const plan = await documents.read('plan', path);
      for (const session of sessions.of(model)) {
        await session.choosePlan(plan, path);
      }
    },
    patch: async ({ plan, sublayer }, model) => {
      const patches = resolvePatches(await documents.read('plan', plan), plan);
      for (const patch of patches.filter((one) => one.sublayer === sublayer)) {
        for (const session of sessions.of(model)) {
          session.addPatch(patch);
        }
      }
    },
    drift: ({ drift, plan, against }, model) => {
      const shown = against === undefined ? drift : useOwnIds(drift);
      for (const session of sessions.of(model)) {
        session.addDrift(plannedChoice(plan), shown);
      }
      setDrift(model, shown);
    },
    evaluation: async ({ result, plan, against, text }, model) => {
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
    },
    compressionPlan: async ({ sensitivity, plan }, model) => {
      (await compressionSessions.open(model, sensitivity)).setPlan(plan);
    },
    planScores: async ({ sensitivity, scores }, model) => {
      (await compressionSessions.open(model, sensitivity)).setScores(scores);
    },
    dataset: async ({ data }) => dataMaps.reloadData(data),
  };
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

/** Drift of the sublayers that a written model still has, by its own ids. */
function useOwnIds(drift: Drift): Drift {
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
