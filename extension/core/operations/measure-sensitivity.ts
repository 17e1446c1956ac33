import { join } from 'node:path';
import { sensitivityCalibration } from '../data/calibration-defaults';
import type { OpenedModel } from '../models/opened-model';
import { defaultSettings } from '../prune/options';
import { methodNames, parseCompression } from '../tensornet/compression-choice';
import { profileSensitivity } from '../tensornet/sensitivity/profile-sensitivity';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { group, list, number } from './fields';
import type { RequestOf } from './fields';
import { prepareJournal } from './journals';
import { blocksOf, outerOf } from './layer-fields';
import type { layerFields } from './layer-fields';
import type { OperationContext } from './operation';
import { searchFields } from './search-fields';
import { calibrationOf, runOptions } from './shared-fields';
import type { CalibrationFields, runFields } from './shared-fields';

/** Ways of compressing differ by far more from each other. */
const defaultPrecision = 0.3;

/** What is tried on every layer, and how its effect is measured. */
export const trialFields = group('Sensitivity', {
  methods: list({
    description:
      'Methods to try, each at its default levels or at one, such as int4:32 or lowrank:50%',
    default: methodNames,
    placeholder: 'METHOD,…',
  }),
  metric: searchFields.metric,
  precision: number({
    description:
      'Measure on part of the text until the standard error is this share of the distance; 0 uses all of it',
    default: defaultPrecision,
    min: 0,
    max: 1,
  }),
});

type SensitivityRequest = Partial<RequestOf<typeof trialFields>> &
  Partial<RequestOf<typeof layerFields>> &
  RequestOf<CalibrationFields> &
  RequestOf<typeof runFields> & { readonly model: OpenedModel; readonly seed: number };

/**
 * Measures what compressing each linear layer alone costs, with defaults that depend on the model.
 * @param out where the profile is written; undefined to only return it
 * @param keepsJournal whether a run after this one finds all measured, until the caller removes the journal
 */
export async function measureSensitivity(
  request: SensitivityRequest,
  out: string | undefined,
  context: OperationContext<SensitivityEvent>,
  keepsJournal = false,
): Promise<SensitivityProfile> {
  const { model, seed, roles = [], methods = methodNames } = request;
  const { metric = defaultSettings.metric, precision = defaultPrecision } = request;
  const { samples, version, costsFolder } = context.environment;
  const outer = outerOf(request);
  return profileSensitivity(
    {
      model,
      calibration: calibrationOf(request, sensitivityCalibration, model.summary.maxPositions),
      settings: {
        compressions: methods.map((text) => parseCompression(text, 'methods')),
        ...{ metric, roles, blocks: blocksOf(request) ?? [], precision, seed },
        ...(outer.length === 0 ? {} : { outer }),
      },
      ...runOptions(request),
      out,
      journal: await prepareJournal('sensitivity', out, model.path),
      keepsJournal,
    },
    { bundledText: join(samples, 'calibration.txt'), version, costsFolder },
    context,
  );
}
