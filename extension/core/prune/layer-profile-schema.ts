import * as v from 'valibot';
import { textPolicies } from '../data/text-scores';
import { parseDocument } from '../jobs/parse-document';
import type { LayerProfile } from './layer-profile';
import { sublayerKinds } from '../models/model-summary';
import { baselineNames, levels, metricNames, searchModes } from './options';

const ratio = v.number();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const distance = v.object({
  sublayer: v.string(),
  distance: v.nullable(v.number()),
  atLeast: v.optional(v.number()),
});
const round = v.object({
  removed: v.string(),
  distance: v.number(),
  candidates: v.optional(v.array(distance)),
});

const sublayer = v.object({
  id: v.string(),
  block: count,
  kind: v.picklist(sublayerKinds),
  parameters: count,
  bytes: count,
  flopsPerToken: count,
  kvBytesPerToken: count,
  experts: v.optional(
    v.object({
      count,
      perToken: count,
      least: v.optional(count),
      parameters: count,
      bytes: count,
    }),
  ),
});
const quantization = v.object({
  method: v.string(),
  form: v.optional(v.string()),
  bits: v.optional(v.number()),
  groupSize: v.optional(v.number()),
  refusal: v.optional(v.string()),
});
const model = v.object({
  name: v.string(),
  path: v.string(),
  architecture: v.string(),
  quantization: v.optional(quantization),
  parameters: count,
  bytes: count,
  dtypes: v.record(v.string(), count),
  blocks: count,
  hiddenSize: v.optional(count),
  vocabularySize: v.optional(count),
  maxPositions: v.optional(count),
  tiedHead: v.optional(v.boolean()),
  sublayers: v.array(sublayer),
  absent: v.optional(v.array(v.string())),
  fingerprint: v.string(),
  warnings: v.array(v.string()),
});

const settings = v.object({
  metric: v.picklist(metricNames),
  mode: v.picklist(searchModes),
  level: v.picklist(levels),
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
  model,
  calibration: v.object({
    source: v.string(),
    sequences: count,
    length: count,
    tokens: count,
    fingerprint: v.string(),
    choice: v.optional(
      v.object({
        scores: v.string(),
        score: v.string(),
        policy: v.picklist(textPolicies),
        windows: count,
      }),
    ),
  }),
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
  created: v.string(),
  versions: v.object({ espalier: v.string(), onnxruntime: v.string(), node: v.string() }),
  machine: v.object({ platform: v.string(), processor: v.string(), cores: count }),
});

/**
 * Parses the text of a `*.layerprofile.json`.
 * @throws UserError naming the file and the field.
 */
export function parseLayerProfile(text: string, file: string): LayerProfile {
  return parseDocument(profileSchema, text, file, 'a layer profile') as LayerProfile;
}
