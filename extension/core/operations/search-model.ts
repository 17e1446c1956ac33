import { join } from 'node:path';
import { defaultCalibration } from '../data/calibration-defaults';
import { openModel } from '../models/open-model';
import type { LayerProfile, ProfileEvent } from '../prune/layer-profile';
import type { SearchSettings } from '../prune/options';
import { profileModel } from '../prune/profile-model';
import type { RequestOf } from './fields';
import { prepareJournal } from './journals';
import type { OperationContext } from './operation';
import { requireCandidates } from './search-fields';
import { calibrationOf, runOptions } from './shared-fields';
import type { calibrationFields, runFields } from './shared-fields';

type SearchRequest = RequestOf<typeof runFields> &
  RequestOf<ReturnType<typeof calibrationFields>> & {
    readonly model: string;
    readonly settings: SearchSettings;
    /** Where the profile is written; it is only returned when absent. */
    readonly out?: string;
  };

/** Profiles a model, with defaults that depend on the model. */
export async function searchModel(
  request: SearchRequest,
  context: OperationContext<ProfileEvent>,
): Promise<LayerProfile> {
  const { model, settings, out } = request;
  const { samples, version } = context.environment;
  const { summary } = await openModel(model);
  requireCandidates(summary, settings);
  return profileModel(
    {
      model,
      calibration: calibrationOf(request, defaultCalibration, summary.maxPositions),
      settings,
      ...runOptions(request),
      out,
      journal: await prepareJournal(out, model),
    },
    { bundledText: join(samples, 'calibration.txt'), version },
    context,
  );
}
