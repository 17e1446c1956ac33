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

/** Schema of {@link AnsweredIds}, since class instances lose their class between processes. */
const answeredSchema = v.pipe(
  v.strictObject({ answered: v.instance(Int32Array), from: size }),
  v.transform(({ answered, from }) => new AnsweredIds(answered, from)),
);

/** Schema of model inputs in work items. They contain no file paths. */
export const modelInputSchema: v.GenericSchema<unknown, ModelInput> = v.union([
  v.instance(Int32Array),
  answeredSchema,
  exampleSchema,
]);

/** Converts an input for transfer to another process, where {@link modelInputSchema} restores it. */
export const portableInput = (input: ModelInput): v.InferInput<typeof modelInputSchema> =>
  input instanceof AnsweredIds
    ? { answered: Int32Array.from(input), from: input.answerFrom }
    : input;
