import * as v from 'valibot';
import type { Example, ModelInput } from '../models/model-input';

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const exampleSchema = v.record(
  v.string(),
  v.object({
    dtype: v.string(),
    dims: v.array(size),
    data: v.custom<Example[string]['data']>(
      (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
    ),
  }),
);

/** What a model is run on, as pieces carry it: they name no file. */
export const modelInputSchema: v.GenericSchema<unknown, ModelInput> = v.union([
  v.instance(Int32Array),
  exampleSchema,
]);
