import * as v from 'valibot';
import { described } from '../jobs/parse-document';

/** Entries of a document that tell its origin. */
export const originEntries = {
  created: described(v.string(), 'Time of creation'),
  versions: described(
    v.object({ espalier: v.string(), onnxruntime: v.string(), node: v.string() }),
    'Versions of Espalier, ONNX Runtime and Node',
  ),
  machine: described(
    v.object({
      platform: v.string(),
      processor: v.string(),
      cores: v.pipe(v.number(), v.integer(), v.minValue(0)),
    }),
    'Machine',
  ),
};
