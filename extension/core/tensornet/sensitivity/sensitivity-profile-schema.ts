import * as v from 'valibot';
import { writableTypes } from '../../checkpoints/ggml-types';
import { calibrationSchema } from '../../data/calibration-schema';
import { described, parseDocument } from '../../jobs/parse-document';
import { metricNames } from '../../metrics/metrics';
import { linearRoles, embeddingAndHeadPlaces } from '../../models/matrix-encoding';
import { sublayerKinds } from '../../models/model-summary';
import { modelSummarySchema } from '../../models/model-summary-schema';
import { originEntries } from '../../runtime/origin';
import { compressionEntries, compressionRequestSchema } from '../compression-choice';
import type { SensitivityProfile } from './sensitivity-profile';
import { say } from '../../message';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const times = { decodeMsPerToken: v.number(), prefillMsPerToken: v.number() };
const costs = { parameters: count, bytes: count, flopsPerToken: v.number(), ...times };

/** Measurement of one compression of one layer. */
export const sensitivityEntrySchema = v.object({
  ...compressionEntries,
  distance: v.number(),
  standardError: v.optional(v.number()),
  error: v.number(),
  outputError: v.optional(v.number()),
  ...costs,
  type: v.optional(v.picklist(writableTypes)),
  mpoRun: v.optional(v.picklist(['contracted', 'chained'])),
});

const widthKinds = v.picklist(['channels', 'groups', 'experts']);

/** Measurements of one sublayer's widths. */
export const widthSensitivitySchema = v.object({
  sublayer: v.string(),
  of: widthKinds,
  count,
  entries: v.array(
    v.object({
      kept: count,
      remove: v.string(),
      distance: v.number(),
      standardError: v.optional(v.number()),
    }),
  ),
});

/** Times of whole models. */
export const runTimesSchema = v.object({
  whole: v.object(times),
  changed: v.array(
    v.variant('change', [
      v.object({ change: v.literal('without'), kind: v.picklist(sublayerKinds), ...times }),
      v.object({ change: v.literal('width-pruned'), of: widthKinds, ...times }),
      v.object({ change: v.literal('compressed'), as: v.string(), ...times }),
    ]),
  ),
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
  expert: v.optional(count),
});

const embeddingAndHead = v.object({
  ...matrix,
  place: v.picklist(embeddingAndHeadPlaces),
  tiedTo: v.optional(v.string()),
});

/** Settings of a sensitivity profile: what is measured, and how precisely. */
export const settingsSchema = v.object({
  compressions: v.array(compressionRequestSchema),
  metric: v.picklist(metricNames),
  roles: v.array(v.picklist(linearRoles)),
  blocks: v.array(count),
  embeddingAndHead: v.optional(v.array(v.picklist(embeddingAndHeadPlaces))),
  widths: v.optional(v.array(v.number())),
  precision: v.number(),
  seed: v.number(),
});

export const sensitivityProfileSchema = v.object({
  format: described(v.literal('espalier.sensitivity'), 'Marks the file as a sensitivity profile'),
  version: described(v.literal(1), 'Version of the format'),
  model: described(modelSummarySchema, 'The model that was measured, with its fingerprint'),
  calibration: described(calibrationSchema, 'Calibration text'),
  fitting: described(
    v.optional(calibrationSchema),
    'Text that methods with activations were fitted to',
  ),
  metric: described(
    v.picklist(metricNames),
    'Distance between the outputs of the original and of the compressed model',
  ),
  metricDefinition: described(v.string(), 'The metric in words'),
  original: described(v.number(), 'Distance of the original from itself on this device'),
  settings: described(settingsSchema, 'Settings of the measurement'),
  device: described(v.string(), 'Device'),
  seconds: described(v.number(), 'Duration in seconds'),
  sublayerEvaluations: described(count, 'Number of sublayer evaluations'),
  layers: described(
    v.array(layer),
    'Each linear layer with what every compression costs and saves',
  ),
  embeddingAndHead: described(
    v.optional(v.array(embeddingAndHead)),
    'The same for embedding and head',
  ),
  widths: described(
    v.optional(v.array(widthSensitivitySchema)),
    'Each sublayer whose width can be pruned, with what its widths cost',
  ),
  gguf: described(
    v.optional(
      v.object({
        bytes: count,
        tensors: v.record(v.string(), v.record(v.string(), count)),
        blocks: v.array(count),
        removable: v.array(v.array(v.string())),
        widths: v.record(v.picklist(sublayerKinds), v.picklist(['each', 'same'])),
      }),
    ),
    'The model as a GGUF file, where types of its tensors were tried: sizes of its tensors and blocks, and what can be removed',
  ),
  runs: described(
    v.optional(runTimesSchema),
    'Milliseconds of a token of the model, without all sublayers of a kind, and with all width-pruned or compressed in a way',
  ),
  ...originEntries,
});

/**
 * Parses the text of a `*.sensitivity.json`.
 * @throws UserError that names the file and the field
 */
export function parseSensitivityProfile(text: string, file: string): SensitivityProfile {
  return parseDocument(
    sensitivityProfileSchema,
    text,
    file,
    say`a sensitivity profile`,
  ) as SensitivityProfile;
}
