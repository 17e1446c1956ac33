import { basename, extname } from 'node:path';
import * as v from 'valibot';
import { readSmallText } from '../../regular-file';
import { UserError } from '../../user-error';
import { parseObjectLine, maxTaskLines, requireFewLines } from '../text-file';
import { datasetReaders } from './dataset-rows';
import { loggedReaders } from './logged-rows';
import { ownReaders } from './own-rows';
import { prependText, shotDelimiter, findReader } from './task-example';
import type { ChoicesExample, Example, ExactMatchExample, LastWordExample } from './task-example';
import { counted, say } from '../../message';

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
      {
        file,
        remedy,
      },
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
