import { basename, extname } from 'node:path';
import * as v from 'valibot';
import { readSmallText } from '../../regular-file';
import { UserError } from '../../user-error';
import { parseObjectLine, maxTaskLines, requireFewLines } from '../text-file';
import { datasetReaders } from './dataset-rows';
import {
  prependText,
  shotDelimiter,
  findReader,
  choicesExample,
  exactMatchExample,
  lastWordExample,
  taskReader,
} from './task-example';
import type {
  ChoicesExample,
  Example,
  ExactMatchExample,
  LastWordExample,
  TaskReader,
} from './task-example';
import { counted, say } from '../../message';

const settings = v.object({
  until: v.optional(v.union([v.string(), v.array(v.string())])),
  max_gen_toks: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});
const request = v.pipe(
  v.object({ arg_0: v.string(), arg_1: v.union([v.string(), settings]) }),
  v.transform(({ arg_0: context, arg_1: asked }) => ({ context, asked })),
);

/** Readers for the output of `--log_samples` in lm-evaluation-harness 0.4, including few-shot prompts. */
const loggedReaders: readonly TaskReader[] = [
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

const filled = v.pipe(v.string(), v.minLength(1));
const oneOrMore = v.union([
  v.pipe(
    filled,
    v.transform((one) => [one]),
  ),
  v.pipe(v.array(filled), v.minLength(1)),
]);

/** Readers for Espalier's own task formats. */
const ownReaders: readonly TaskReader[] = [
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

/** Examples of one kind. */
export type Task = { readonly name: string; readonly file: string } & (
  | { readonly kind: 'multiple-choice'; readonly examples: readonly ChoicesExample[] }
  | { readonly kind: 'last-word'; readonly examples: readonly LastWordExample[] }
  | { readonly kind: 'exact-match'; readonly examples: readonly ExactMatchExample[] }
);

/** Few-shot examples before each question. */
export interface ShotsRequest {
  /** Number of few-shot examples; 0 by default. */
  readonly shots?: number;
  /** File that provides the few-shot examples; the task itself by default. */
  readonly shotsFrom?: string;
}

/** lm-evaluation-harness rows are tried first, since they contain rows of the other formats. */
const readers = [...loggedReaders, ...datasetReaders, ...ownReaders];

const forms = [...new Map(readers.map(({ name, fields }) => [name, fields]))]
  .map(([name, fields]) => `${name} (${fields.join(', ').replaceAll('|', ' or ')})`)
  .join('; ');
const remedy = say`All rows of a file have the same format: ${forms}.`;

/**
 * Reads a task from JSONL, one example per line, and prepends few-shot examples.
 * @throws UserError naming the line and the field.
 */
export async function readTask(
  file: string,
  { shots = 0, shotsFrom }: ShotsRequest = {},
): Promise<Task> {
  const examples = await readExamples(file);
  const others = shotsFrom === undefined ? examples : await readExamples(shotsFrom);
  const prompted = examples.map((example) =>
    prependText(example, promptPrefix(example, others, shots, shotsFrom ?? file)),
  );
  const name = basename(file, extname(file));
  const [first] = prompted;
  // Rows with the same reader may have different kinds.
  const other = prompted.findIndex(({ kind }) => kind !== first?.kind);
  if (other >= 0) {
    throw new UserError(
      'task-rows-mixed',
      say`Example ${other + 1} has another shape than the first.`,
      { file, remedy },
    );
  }
  return { name, file, kind: first?.kind, examples: prompted } as Task;
}

/** Description and few-shot examples for an example, which is never its own shot. */
function promptPrefix(
  example: Example,
  others: readonly Example[],
  shots: number,
  file: string,
): string {
  const { head = '' } = example;
  if (shots === 0) {
    return head;
  }
  const solved: string[] = [];
  for (const one of others) {
    if (solved.length === shots) {
      break;
    }
    if (one.solved !== undefined && one.head === example.head && one.solved !== example.solved) {
      solved.push(one.solved);
    }
  }
  if (solved.length < shots) {
    const [first] = others;
    throw new UserError(
      first?.solved === undefined ? 'few-shot-unsupported' : 'few-shot-too-few',
      first?.solved === undefined
        ? say`Its rows are whole prompts, from which few-shot examples can't be made.`
        : say`Only ${counted(solved.length, 'example')} to choose few-shot examples from, fewer than ${shots}.`,
      {
        file,
        field: 'shots',
        remedy:
          first?.solved === undefined
            ? say`Remove the few-shot examples: a file of lm-eval has its own.`
            : say`Request fewer, or choose a file with more examples.`,
      },
    );
  }
  return head + solved.map((text) => text + shotDelimiter).join('');
}

async function readExamples(file: string): Promise<readonly Example[]> {
  const text = await readSmallText(file);
  requireFewLines(text, maxTaskLines, file);
  const lines = text.split('\n');
  const records = lines.flatMap((one, i) => {
    const line = `line ${i + 1}`;
    return one.trim() === ''
      ? []
      : [{ line, value: parseObjectLine(one, { file, field: line, remedy }) }];
  });
  const [first] = records;
  if (first === undefined) {
    throw new UserError('task-empty', say`The task has no examples.`, { file, remedy });
  }
  const reader = findReader(first.value, readers);
  if (reader === undefined) {
    const found = Object.keys(first.value).join(', ');
    throw new UserError('task-fields-unknown', say`No task has rows with the fields ${found}.`, {
      file,
      field: first.line,
      remedy,
    });
  }
  const { schema, read, counts = () => true, answer = '' } = reader;
  const rows = records.map(({ line, value }) => ({
    line,
    value,
    row: check(schema, value, line, file),
  }));
  return rows.flatMap(({ line, value, row }) => {
    if (!counts(row, rows[0]?.row)) {
      return [];
    }
    const example = read(row);
    if (example.kind === 'multiple-choice' && example.pairs[example.answer] === undefined) {
      const given: unknown = value[answer];
      throw new UserError(
        'task-choice-invalid',
        say`The answer is choice ${JSON.stringify(given)}, but there are only ${example.pairs.length}.`,
        {
          file,
          field: `${line}: ${answer}`,
          remedy: say`Specify the right choice; numbers count from 0. Rows without an answer, as in many test sets, can't be judged.`,
        },
      );
    }
    return [example];
  });
}

function check<Schema extends v.GenericSchema>(
  schema: Schema,
  value: object,
  line: string,
  file: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value);
  if (result.success) {
    return result.output;
  }
  const [issue] = result.issues;
  throw new UserError('field-invalid', say`${issue.message}.`, {
    file,
    field: [line, v.getDotPath(issue)].filter((part) => part !== null).join(': '),
    remedy,
  });
}
