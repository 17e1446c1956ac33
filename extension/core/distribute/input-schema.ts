import * as v from 'valibot';
import { AnsweredIds } from '../models/model-input';
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

/** Ids of a class of their own, which other processes do not get as such. */
const answeredSchema = v.pipe(
  v.strictObject({ answered: v.instance(Int32Array), from: size }),
  v.transform(({ answered, from }) => new AnsweredIds(answered, from)),
);

/** What a model is run on, as pieces carry it: they name no file. */
export const modelInputSchema: v.GenericSchema<unknown, ModelInput> = v.union([
  v.instance(Int32Array),
  answeredSchema,
  exampleSchema,
]);

/** An input as {@link modelInputSchema} reads it in another process. */
export const portableInput = (input: ModelInput): v.InferInput<typeof modelInputSchema> =>
  input instanceof AnsweredIds
    ? { answered: Int32Array.from(input), from: input.answerFrom }
    : input;
