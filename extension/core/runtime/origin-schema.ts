import * as v from 'valibot';

/** Entries of a document that tell its origin. */
export const originEntries = {
  created: v.string(),
  versions: v.object({ espalier: v.string(), onnxruntime: v.string(), node: v.string() }),
  machine: v.object({
    platform: v.string(),
    processor: v.string(),
    cores: v.pipe(v.number(), v.integer(), v.minValue(0)),
  }),
};
