import * as v from 'valibot';
import { sensitivityCalibration } from '../data/calibration-defaults';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { integer, newFile } from './fields';
import { layerFields } from './layer-fields';
import {
  measureSensitivity,
  sensitivityJournal,
  sensitivityWork,
  trialFields,
} from './measure-sensitivity';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { calibrationFields, calibrationRules, modelField, runFields } from './shared-fields';
import { pathNextToModel } from './output-file';
import { payingSharingFields, sharingRules } from './sharing';
import { countPhrase } from './outcomes';
import { say } from '../message';
import { documentJournal } from '../jobs/work-folder';

export const sensitivity = defineOperation({
  id: 'sensitivity',
  title: 'Profile Sensitivity',
  verb: 'Measuring compression of',
  summary: 'Measure the loss from compressing each linear layer alone, by method and setting.',
  group: 'shrink',
  fields: {
    model: modelField,
    out: newFile('sensitivity', {
      description: 'File for the sensitivity profile (*.sensitivity.json)',
    }),
    ...trialFields,
    ...layerFields,
    seed: integer({ description: 'Seed of random projections', default: 0, min: 0 }),
    ...calibrationFields(sensitivityCalibration),
    ...runFields,
    ...payingSharingFields,
  },
  rules: [...calibrationRules, ...sharingRules],
  result: v.looseObject({
    format: v.literal('espalier.sensitivity'),
    layers: v.array(v.looseObject({ tensor: v.string(), entries: v.array(v.looseObject({})) })),
  }),
  trust: 'run',
  requires: () => ({ model: 'calibration' }),
  resume: ({ out, model }) => sensitivityJournal.path(out, model),
  suggestOut: async ({ model = '.' }) => pathNextToModel('sensitivity', model),
  work: async (request, { open }) =>
    sensitivityWork({ ...request, model: await open(request.model) }),
  run: async (request, context: OperationContext<SensitivityEvent>): Promise<SensitivityProfile> =>
    measureSensitivity(
      { ...request, model: await context.environment.open(request.model) },
      request.out,
      context,
    ),
  presentation: {
    panel: 'compression',
    jobName: say`Measuring`,
    document: 'out',
    outcome: ({ layers }) => {
      const measurements = layers.reduce((sum, { entries }) => sum + entries.length, 0);
      return {
        summary: say`Measured ${countPhrase(measurements, 'compression')} of ${countPhrase(layers.length, 'layer')}.`,
        shown: true,
      };
    },
    saved: {
      text: (done, total) => say`Saved: ${done} of ${total} measurements.`,
      leftovers: ({ out }: { readonly out?: string }) =>
        out === undefined ? [] : [`${documentJournal(out)}.forms`],
    },
  },
});
