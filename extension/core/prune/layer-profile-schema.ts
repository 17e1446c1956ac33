import * as v from 'valibot';
import { calibrationSchema } from '../data/calibration-schema';
import { described, parseDocument } from '../jobs/parse-document';
import type { LayerProfile } from './layer-profile';
import { modelSummarySchema } from '../models/model-summary-schema';
import { originEntries } from '../runtime/origin';
import { metricNames } from '../metrics/metrics';
import { arithmetics, baselineNames, granularities, refineMethods, searchModes } from './options';
import { say } from '../message';

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
  arithmetic: v.picklist(arithmetics),
  refine: v.optional(v.object({ method: v.picklist(refineMethods), sets: count })),
  seed: v.number(),
});

export const layerProfileSchema = v.object({
  format: described(v.literal('espalier.layerprofile'), 'Marks the file as a layer profile'),
  version: described(v.literal(1), 'Version of the format'),
  model: described(modelSummarySchema, 'The model that was profiled, with its fingerprint'),
  calibration: described(calibrationSchema, 'Calibration text, with a fingerprint of its tokens'),
  metric: described(
    v.picklist(metricNames),
    'Distance between the outputs of the original and of the pruned model',
  ),
  metricDefinition: described(v.string(), 'The metric in words'),
  settings: described(settings, 'Settings of the search'),
  search: described(
    v.object({
      mode: v.picklist(searchModes),
      device: v.string(),
      seconds: v.number(),
      sublayerEvaluations: count,
      naiveSublayerEvaluations: count,
    }),
    'Search: mode, device and cost',
  ),
  refinement: described(
    v.optional(
      v.object({
        method: v.picklist(refineMethods),
        sets: count,
        from: v.number(),
        to: v.number(),
        exchanged: count,
        start: v.array(round),
      }),
    ),
    'Gain of the refinement, and the rounds before it',
  ),
  surrogate: described(
    v.optional(
      v.object({
        rounds: count,
        first: count,
        amongFour: count,
        meanLogError: v.optional(v.number()),
      }),
    ),
    'Quality of the predicted distances, if the search predicted any',
  ),
  stability: described(
    v.optional(
      v.object({
        texts: v.array(v.object({ name: v.string(), tokens: count })),
        correlation: v.number(),
        least: v.number(),
        candidates: v.array(
          v.object({
            sublayer: v.string(),
            distances: v.array(v.number()),
            places: v.tuple([v.number(), v.number()]),
            dependsOnText: v.boolean(),
          }),
        ),
        rounds: v.array(v.array(v.number())),
      }),
    ),
    'Dependence of importance on the calibration text: rank correlations, and distances and ranks by text',
  ),
  candidates: described(
    v.array(distance),
    'Distance of each sublayer when it is removed alone; null where it was not measured or is not finite',
  ),
  rounds: described(v.array(round), 'The order of removal, with the distance after each'),
  baselines: described(
    v.record(v.picklist(baselineNames), v.array(round)),
    'The same for other orders, by name',
  ),
  cosineLocal: described(
    v.array(distance),
    'One minus the cosine of what goes into and comes out of each sublayer',
  ),
  evaluations: described(
    v.array(
      v.object({
        rounds: count,
        text: v.string(),
        perplexity: v.number(),
        tokens: count,
        tokensPerSecond: v.number(),
        partial: v.optional(v.literal(true)),
      }),
    ),
    'Perplexity of the model without the sublayers of some rounds',
  ),
  ...originEntries,
});

/**
 * Parses a `*.layerprofile.json` document.
 * @throws UserError naming the file and the field.
 */
export function parseLayerProfile(text: string, file: string): LayerProfile {
  return parseDocument(layerProfileSchema, text, file, say`a layer profile`) as LayerProfile;
}
