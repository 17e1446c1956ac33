import * as v from 'valibot';
import { defaultCalibration } from '../data/calibration-defaults';
import { foreseeRefusals } from '../export/writable';
import type { LayerProfile, ProfileEvent } from '../prune/layer-profile';
import { group, path, paths } from './fields';
import { journalOf } from './journals';
import { excludes } from './rules';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { amountFields, searchFields, searchRules, searchSettings } from './search-fields';
import { calibrationFields, calibrationRules, modelField, runFields } from './shared-fields';
import { searchModel, searchWork } from './search-model';
import { sharingFields, sharingRules } from './sharing';
import { besideModel } from './suggest-out';

export const profile = defineOperation({
  id: 'profile',
  title: 'Profile Layers',
  verb: 'Profiling',
  summary: 'Measure how important every sublayer is, and find the best order to remove them in.',
  fields: {
    model: modelField,
    out: path({ description: 'Where to write the profile (*.layerprofile.json)' }),
    ...amountFields,
    ...searchFields,
    ...calibrationFields(defaultCalibration),
    ...group('Calibration', {
      furtherCalibration: paths({
        description:
          'Further calibration texts that share the sequences; the profile says where they disagree',
        setting: 'calibration.further',
      }),
    }),
    ...runFields,
    ...sharingFields,
  },
  rules: [
    ...searchRules,
    ...calibrationRules,
    ...sharingRules,
    excludes('furtherCalibration', 'calibrationScores'),
  ],
  result: v.looseObject({
    candidates: v.array(v.looseObject({ sublayer: v.string(), distance: v.nullable(v.number()) })),
    rounds: v.array(v.looseObject({ removed: v.string(), distance: v.number() })),
    search: v.looseObject({
      mode: v.string(),
      seconds: v.number(),
      sublayerEvaluations: v.number(),
      naiveSublayerEvaluations: v.number(),
    }),
  }),
  trust: 'run',
  resume: ({ out, model }) => journalOf('search', out, model),
  suggestOut: async ({ model = '.' }) => besideModel('layerProfile', model),
  work: async (request, { open }) =>
    searchWork(request, searchSettings(request), await open(request.model)),
  run: async (request, context: OperationContext<ProfileEvent>): Promise<LayerProfile> => {
    const settings = searchSettings(request);
    const model = await context.environment.open(request.model);
    const warning = await foreseeRefusals(model, {}, settings);
    if (warning !== undefined) {
      context.warn(warning);
    }
    return searchModel({ ...request, model }, settings, request.out, context);
  },
});
