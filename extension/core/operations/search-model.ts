import { join } from 'node:path';
import type { CalibrationRequest } from '../data/calibration';
import { defaultCalibration } from '../data/calibration-defaults';
import type { OutputTarget } from '../export/output-options';
import type { OpenedModel } from '../models/opened-model';
import { explainNothingFreed, freeingNothing } from '../shared-weights';
import { checkBudget } from '../prune/candidates';
import type { LayerProfile, ProfileEvent } from '../prune/layer-profile';
import type { SearchSettings } from '../prune/options';
import { profileModel } from '../prune/profile-model';
import type { EvaluateRounds, ProfileJob, WritableOnly } from '../prune/profile-model';
import { planScreening, searchExecutors } from '../prune/screening-copy';
import { expectedWork, totalWork } from '../prune/expected-work';
import type { Amount } from '../prune/expected-work';
import type { SearchExecutors } from '../prune/search-rates';
import type { ModelWork } from '../runtime/speed/model-speed';
import type { RequestOf } from './fields';
import { operationJournal } from './journals';
import type { OperationContext } from './operation';
import { removalCandidates, requireCandidates, searchSettings } from './search-fields';
import type { SearchRequest } from './search-fields';
import { requestedCalibration, runOptions } from './shared-fields';
import type { CalibrationFields, runFields } from './shared-fields';
import { createEngine } from './sharing';
import type { SharingRequest } from './sharing';
import { runWork } from './work';
import type { Work } from './work';

/** Shared by the operations that search: each continues the search of another. */
export const searchJournal = operationJournal('search');

/**
 * Work of a search on every sequence.
 * @param target format to be written afterwards; any possible format if undefined
 * @throws UserError if the search would refuse its budget.
 */
export async function searchWork(
  request: RequestOf<CalibrationFields> & SearchRequest & SharingRequest,
  model: OpenedModel,
  target?: Partial<OutputTarget>,
): Promise<Work> {
  const { summary } = model;
  const settings = await searchSettings(request, model, target);
  requireCandidates(model, settings);
  checkBudget(settings.budget, summary, settings.granularity);
  const { sequences, length } = calibrationText(request, settings, model);
  const tokens = sequences * length;
  const { mode, granularity, metric, confidence, everyDistance, baselines, refine } = settings;
  const workWith = (
    executors: Partial<SearchExecutors> = {},
  ): Readonly<Record<'model' | 'copy', ModelWork>> => {
    const total = totalWork(expectedWork(settings, summary, tokens, executors));
    const work = ({ evaluations, readouts, passes }: Amount): ModelWork => ({
      sublayerTokens: tokens * evaluations,
      readoutTokens: tokens * readouts,
      passes,
    });
    return { model: work(total.model), copy: work(total.copy) };
  };
  const { workers = 1, queue } = request;
  const isShared = workers > 1 || queue !== undefined;
  return {
    ...runWork(
      model,
      workWith().model,
      ...[mode, granularity, metric, confidence, settings.arithmetic],
      ...[everyDistance, baselines.length, refine?.method],
    ),
    probe: async (where) => {
      const plan = await planScreening(model.model, settings, { ...where, isShared });
      const executors = searchExecutors(model.model, plan, where);
      const { executor, copy } = executors;
      const work = workWith(executors);
      return [
        { executor, work: work.model },
        ...(copy === undefined ? [] : [{ executor: copy, work: work.copy }]),
      ];
    },
  };
}

/** Calibration text of a search. */
function calibrationText(
  request: RequestOf<CalibrationFields>,
  { metric }: SearchSettings,
  { summary }: OpenedModel,
): CalibrationRequest {
  return requestedCalibration(request, defaultCalibration, summary.maxPositions, metric);
}

type ProfileRequest = RequestOf<typeof runFields> &
  SharingRequest &
  RequestOf<CalibrationFields> & {
    readonly model: OpenedModel;
    readonly furtherCalibration?: readonly string[];
    /** Evaluates the pruned model. */
    readonly evaluate?: EvaluateRounds | undefined;
    /** See {@link ProfileJob.secondsAfter}. */
    readonly secondsAfter?: ProfileJob['secondsAfter'];
  };

/**
 * Profiles a model, with defaults that depend on the model.
 * @param out where the profile is written; undefined to only return it
 * @param writable removals that can be written, if not all can
 */
export async function searchModel(
  request: ProfileRequest,
  settings: SearchSettings,
  out: string | undefined,
  context: OperationContext<ProfileEvent>,
  writable?: WritableOnly,
): Promise<LayerProfile> {
  const { model } = request;
  const { samples, version } = context.environment;
  const { summary, path } = model;
  requireCandidates(model, settings);
  // The search measures only the loss, so it can't see that a removal saves nothing.
  const candidates = removalCandidates(summary, settings).map(({ id }) => id);
  const nothing = explainNothingFreed(candidates.flatMap((id) => freeingNothing(summary, [id])));
  if (nothing !== undefined) {
    context.warn(nothing);
  }
  return profileModel(
    {
      model,
      calibration: calibrationText(request, settings, model),
      furtherCalibration: request.furtherCalibration,
      evaluate: request.evaluate,
      secondsAfter: request.secondsAfter,
      settings,
      ...runOptions(request),
      out,
      journal: await searchJournal.prepare(out, path),
      writable,
      engine: createEngine(request, context.environment),
    },
    { bundledText: join(samples, 'calibration.txt'), version },
    context,
  );
}
