import * as v from 'valibot';
import { calibrationSchema } from '../data/calibration-schema';
import { parseDocument } from '../jobs/parse-document';
import type { LayerProfile } from './layer-profile';
import { modelSummarySchema } from '../models/model-summary-schema';
import { originEntries } from '../runtime/origin-schema';
import { metricNames } from '../metrics/metric-names';
import { baselineNames, granularities, searchModes } from './options';

const ratio = v.number();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const distance = v.object({
  sublayer: v.string(),
  distance: v.nullable(v.number()),
  atLeast: v.optional(v.number()),
  standardError: v.optional(v.number()),
});
const decision = v.object({
  compared: count,
  confidence: v.number(),
  ties: v.array(v.string()),
  expected: v.optional(v.object({ distance: v.number(), place: count })),
});
const round = v.object({
  removed: v.string(),
  distance: v.number(),
  standardError: v.optional(v.number()),
  decision: v.optional(decision),
  candidates: v.optional(v.array(distance)),
});

const settings = v.object({
  metric: v.picklist(metricNames),
  mode: v.picklist(searchModes),
  confidence: v.number(),
  granularity: v.picklist(granularities),
  budget: v.variant('kind', [
    v.object({ kind: v.literal('count'), count }),
    v.object({ kind: v.literal('ratio'), ratio }),
    v.object({ kind: v.literal('parameters'), ratio }),
    v.object({ kind: v.literal('all') }),
  ]),
  protect: v.array(v.string()),
  exclude: ratio,
  everyDistance: v.boolean(),
  baselines: v.array(v.picklist(baselineNames)),
  seed: v.number(),
});

const profileSchema = v.object({
  format: v.literal('espalier.layerprofile'),
  version: v.literal(1),
  model: modelSummarySchema,
  calibration: calibrationSchema,
  metric: v.picklist(metricNames),
  metricDefinition: v.string(),
  settings,
  search: v.object({
    mode: v.picklist(searchModes),
    device: v.string(),
    seconds: v.number(),
    sublayerEvaluations: count,
    naiveSublayerEvaluations: count,
  }),
  surrogate: v.optional(
    v.object({ rounds: count, first: count, amongFour: count, meanLogError: v.number() }),
  ),
  candidates: v.array(distance),
  rounds: v.array(round),
  baselines: v.record(v.picklist(baselineNames), v.array(round)),
  cosineLocal: v.array(distance),
  evaluations: v.array(
    v.object({
      rounds: count,
      text: v.string(),
      perplexity: v.number(),
      tokens: count,
      tokensPerSecond: v.number(),
    }),
  ),
  ...originEntries,
});

/**
 * Parses the text of a `*.layerprofile.json`.
 * @throws UserError naming the file and the field.
 */
export function parseLayerProfile(text: string, file: string): LayerProfile {
  return parseDocument(profileSchema, text, file, 'a layer profile') as LayerProfile;
}
