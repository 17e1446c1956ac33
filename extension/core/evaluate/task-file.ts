import { basename, extname } from 'node:path';
import * as v from 'valibot';
import { readSmallText } from '../checkpoints/regular-file';
import { UserError } from '../user-error';
import { say } from '../message';

const choicesSchema = v.object({
  /** The text in front of every choice. */
  context: v.string(),
  choices: v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(2)),
  /** Index of the right choice. */
  answer: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** What stands between the context and a choice; a space when absent. */
  delimiter: v.optional(v.string()),
});

const lastWordSchema = v.object({
  /** A text whose last word is to be predicted. */
  text: v.pipe(v.string(), v.regex(/\S\s+\S+\s*$/u)),
});

export type ChoicesExample = v.InferOutput<typeof choicesSchema>;
export type LastWordExample = v.InferOutput<typeof lastWordSchema>;

/** Examples of one kind. */
export type Task = { readonly name: string; readonly file: string } & (
  | { readonly kind: 'multiple-choice'; readonly examples: readonly ChoicesExample[] }
  | { readonly kind: 'last-word'; readonly examples: readonly LastWordExample[] }
);

const remedy = say`Lines are {"context": "…", "choices": ["…", "…"], "answer": 0} for multiple choice, or {"text": "…"} for the prediction of the last word; one kind in a file.`;

/**
 * Reads a task from JSONL, one example a line.
 * @throws UserError naming the line and the field.
 */
export async function readTask(file: string): Promise<Task> {
  const lines = (await readSmallText(file)).split('\n');
  const records = lines.flatMap((line, i) =>
    line.trim() === '' ? [] : [{ line: `line ${i + 1}`, value: parseLine(line, i + 1, file) }],
  );
  const [first] = records;
  if (first === undefined) {
    throw new UserError(say`The task has no examples.`, { file, remedy });
  }
  const name = basename(file, extname(file));
  if ('choices' in first.value) {
    const examples = records.map(({ line, value }) => check(choicesSchema, value, line, file));
    for (const [i, { answer, choices }] of examples.entries()) {
      if (answer >= choices.length) {
        throw new UserError(say`There is no choice ${answer} among ${choices.length}.`, {
          file,
          field: `${records[i]?.line}: answer`,
          remedy: say`The answer is the index of the right choice, counted from 0.`,
        });
      }
    }
    return { name, file, kind: 'multiple-choice', examples };
  }
  const examples = records.map(({ line, value }) => check(lastWordSchema, value, line, file));
  return { name, file, kind: 'last-word', examples };
}

function parseLine(line: string, number: number, file: string): object {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new UserError(say`The line is not JSON: ${(error as Error).message}.`, {
      file,
      field: `line ${number}`,
      remedy,
    });
  }
  if (typeof value !== 'object' || value === null) {
    throw new UserError(say`The line is not an object.`, { file, field: `line ${number}`, remedy });
  }
  return value;
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
  throw new UserError(say`${issue.message}.`, {
    file,
    field: [line, v.getDotPath(issue)].filter((part) => part !== null).join(': '),
    remedy,
  });
}
