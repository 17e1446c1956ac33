import * as v from 'valibot';
import { calibrationSchema } from '../../data/calibration-schema';
import { parseDocument } from '../../jobs/parse-document';
import { metricNames } from '../../metrics/metric-names';
import { linearRoles, outerPlaces } from '../../models/matrix-encoding';
import { modelSummarySchema } from '../../models/model-summary-schema';
import { originEntries } from '../../runtime/origin-schema';
import { compressionEntries, compressionRequestSchema } from '../compression-choice';
import type { SensitivityProfile } from './sensitivity-profile';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const costs = {
  parameters: count,
  bytes: count,
  flopsPerToken: v.number(),
  milliseconds: v.number(),
};

/** What has been measured of one compression of one layer. */
export const sensitivityEntrySchema = v.object({
  ...compressionEntries,
  distance: v.number(),
  error: v.number(),
  outputError: v.optional(v.number()),
  ...costs,
  mpoRun: v.optional(v.picklist(['contracted', 'chained'])),
});

const matrix = {
  tensor: v.string(),
  out: count,
  in: count,
  ...costs,
  entries: v.array(sensitivityEntrySchema),
};

const layer = v.object({
  ...matrix,
  sublayer: v.string(),
  block: count,
  role: v.picklist(linearRoles),
});

const outer = v.object({
  ...matrix,
  place: v.picklist(outerPlaces),
  tiedTo: v.optional(v.string()),
});

const tableSchema = v.object({
  format: v.literal('espalier.sensitivity'),
  version: v.literal(1),
  model: modelSummarySchema,
  calibration: calibrationSchema,
  fitting: v.optional(calibrationSchema),
  metric: v.picklist(metricNames),
  metricDefinition: v.string(),
  original: v.number(),
  settings: v.object({
    compressions: v.array(compressionRequestSchema),
    metric: v.picklist(metricNames),
    roles: v.array(v.picklist(linearRoles)),
    blocks: v.array(count),
    outer: v.optional(v.array(v.picklist(outerPlaces))),
    seed: v.number(),
  }),
  device: v.string(),
  seconds: v.number(),
  sublayerEvaluations: count,
  layers: v.array(layer),
  outer: v.optional(v.array(outer)),
  ...originEntries,
});

/**
 * Parses the text of a `*.sensitivity.json`.
 * @throws UserError naming the file and the field.
 */
export function parseSensitivityProfile(text: string, file: string): SensitivityProfile {
  return parseDocument(tableSchema, text, file, 'a sensitivity table') as SensitivityProfile;
}
