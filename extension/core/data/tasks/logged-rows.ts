import * as v from 'valibot';
import { datasetReaders } from './dataset-rows';
import { exactMatchExample, findReader, taskReader } from './task-example';
import type { Example, TaskReader } from './task-example';

const settings = v.object({
  until: v.optional(v.union([v.string(), v.array(v.string())])),
  max_gen_toks: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});
const request = v.pipe(
  v.object({ arg_0: v.string(), arg_1: v.union([v.string(), settings]) }),
  v.transform(({ arg_0: context, arg_1: asked }) => ({ context, asked })),
);

/** Readers for the output of `--log_samples` in lm-evaluation-harness 0.4, including few-shot prompts. */
export const loggedReaders: readonly TaskReader[] = [
  taskReader({
    name: 'lm-eval --log_samples',
    fields: ['doc', 'target', 'arguments'],
    schema: v.object({
      doc: v.looseObject({}),
      target: v.union([v.string(), v.pipe(v.number(), v.transform(String))]),
      arguments: v.pipe(v.record(v.string(), request), v.minEntries(1)),
      filter: v.optional(v.string()),
    }),
    answer: 'target',
    read: ({ doc, target, arguments: requests }) =>
      createExample(Object.values(requests), target, doc),
    // Each example is repeated for every filter.
    counts: ({ filter }, first) => filter === first.filter,
  }),
];

function createExample(
  requests: readonly v.InferOutput<typeof request>[],
  target: string,
  doc: object,
): Example {
  const [{ context, asked } = { context: '', asked: '' }] = requests;
  if (typeof asked !== 'string') {
    const { until, max_gen_toks: tokens } = asked;
    const stops = until === undefined ? undefined : [until].flat();
    return { ...exactMatchExample(context, [target], { stops, tokens }), solved: undefined };
  }
  const pairs = requests.map((one) => ({
    context: one.context,
    continuation: typeof one.asked === 'string' ? one.asked : '',
  }));
  if (pairs.length === 1) {
    return { kind: 'last-word', pairs };
  }
  if (pairs.some((pair) => pair.context !== context)) {
    return { kind: 'multiple-choice', pairs, answer: findAnswer(doc) };
  }
  const choices = pairs.map(({ continuation }) => continuation.replace(/^ /, ''));
  return {
    kind: 'multiple-choice',
    pairs: pairs.map((pair, i) => ({ ...pair, length: Array.from(choices[i] ?? '').length })),
    answer: /^\d+$/.test(target) ? Number(target) : choices.indexOf(target),
  };
}

/**
 * Index of the answer. If the choices are in the contexts, the target is the common continuation, so only the document
 * has the answer.
 */
function findAnswer(doc: object): number {
  const reader = findReader(doc, datasetReaders);
  const parsed = reader && v.safeParse(reader.schema, doc);
  const example = parsed?.success === true ? reader?.read(parsed.output) : undefined;
  return example?.kind === 'multiple-choice' ? example.answer : -1;
}
