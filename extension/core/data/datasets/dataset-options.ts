import * as v from 'valibot';

const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const names = v.pipe(v.array(v.string()), v.readonly());

/** Schema of `DatasetOptions` in documents. */
export const datasetOptionsSchema = v.object({
  split: v.exactOptional(v.picklist(['train', 'test'])),
  label: v.exactOptional(v.string()),
  text: v.exactOptional(v.string()),
  features: v.exactOptional(names),
  classNames: v.exactOptional(names),
  imageSize: v.exactOptional(v.object({ height: size, width: size })),
  imageChannels: v.exactOptional(v.picklist([1, 3])),
});
