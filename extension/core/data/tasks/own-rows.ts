import * as v from 'valibot';
import { choicesExample, exactMatchExample, lastWordExample, taskReader } from './task-example';
import type { TaskReader } from './task-example';

const filled = v.pipe(v.string(), v.minLength(1));
const oneOrMore = v.union([
  v.pipe(
    filled,
    v.transform((one) => [one]),
  ),
  v.pipe(v.array(filled), v.minLength(1)),
]);

/** Readers for Espalier's own task formats. */
export const ownReaders: readonly TaskReader[] = [
  taskReader({
    name: 'multiple choice',
    fields: ['context', 'choices'],
    schema: v.object({
      /** Text before every choice. */
      context: v.string(),
      choices: v.pipe(v.array(filled), v.minLength(2)),
      /** Index of the correct choice. */
      answer: v.pipe(v.number(), v.integer(), v.minValue(0)),
      /** Separator between the context and a choice; a space by default. */
      delimiter: v.optional(v.string()),
    }),
    answer: 'answer',
    read: ({ context, choices, answer, delimiter }) =>
      choicesExample(context, choices, answer, delimiter === undefined ? {} : { delimiter }),
  }),
  taskReader({
    name: 'exact match',
    fields: ['question|prompt|input', 'answer|target'],
    schema: v.pipe(
      v.looseObject({}),
      v.transform(({ question, input, answer, ...row }) => ({
        prompt: question ?? input,
        target: answer,
        ...row,
      })),
      v.object({
        prompt: filled,
        target: oneOrMore,
        stop: v.optional(oneOrMore),
        /** Maximum number of answer tokens. */
        tokens: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
      }),
    ),
    read: ({ prompt, target, stop, tokens }) =>
      exactMatchExample(prompt, target, { stops: stop, tokens }),
  }),
  taskReader({
    name: 'last word',
    fields: ['text'],
    schema: v.object({
      /** Text whose last word the model predicts. */
      text: v.pipe(v.string(), v.regex(/\S[^]* \s*\S/u)),
    }),
    read: ({ text }) => lastWordExample(text),
  }),
];
