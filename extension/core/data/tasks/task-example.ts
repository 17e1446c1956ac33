import type * as v from 'valibot';

/** Continuation whose likelihood after a context is measured. */
export interface Pair {
  readonly context: string;
  /** Includes the leading space. */
  readonly continuation: string;
  /** Number of characters of the choice, the divisor of `acc_norm`; absent if the choice is in the context. */
  readonly length?: number;
}

interface Promptable {
  /** Task description before all shots. Only examples with the same description can be shots of each other. */
  readonly head?: string;
  /** Example with its answer, used as a shot; absent if the file doesn't contain it. */
  readonly solved?: string | undefined;
}

/** Multiple choice: the answer is the most likely pair. */
export interface ChoicesExample extends Promptable {
  readonly kind: 'multiple-choice';
  readonly pairs: readonly Pair[];
  /** Index of the correct pair. */
  readonly answer: number;
}

/** Correct if every token of the continuation is the top-1 prediction. */
export interface LastWordExample extends Promptable {
  readonly kind: 'last-word';
  readonly pairs: readonly Pair[];
}

/** Correct if the model generates one of the targets. */
export interface ExactMatchExample extends Promptable {
  readonly kind: 'exact-match';
  readonly prompt: string;
  readonly targets: readonly string[];
  /** Stop strings, not included in the answer. */
  readonly stops: readonly string[];
  /** Maximum number of answer tokens. */
  readonly tokens: number;
}

export type Example = ChoicesExample | LastWordExample | ExactMatchExample;

/** Delimiters of lm-evaluation-harness: between question and answer, and after a shot. */
export const targetDelimiter = ' ';
export const shotDelimiter = '\n\n';
/** `max_gen_toks` of lm-evaluation-harness. */
const defaultAnswerTokens = 256;

/** Example with one context and several choices. */
export function choicesExample(
  context: string,
  choices: readonly string[],
  answer: number,
  { delimiter = targetDelimiter, head }: { delimiter?: string; head?: string } = {},
): ChoicesExample {
  return {
    kind: 'multiple-choice',
    pairs: choices.map((choice) => ({
      context,
      continuation: `${delimiter}${choice}`,
      length: Array.from(choice).length,
    })),
    answer,
    solved: `${context}${delimiter}${choices[answer] ?? ''}`,
    ...(head === undefined ? {} : { head }),
  };
}

/** Example with several contexts and one continuation (partial evaluation). */
export function contextsExample(
  contexts: readonly string[],
  rest: string,
  answer: number,
): ChoicesExample {
  const continuation = `${targetDelimiter}${rest}`;
  return {
    kind: 'multiple-choice',
    pairs: contexts.map((context) => ({ context, continuation })),
    answer,
    solved: `${contexts[answer] ?? ''}${continuation}`,
  };
}

/** Example from a text, split before the space of its last word. */
export function lastWordExample(text: string): LastWordExample {
  const whole = text.trimEnd();
  const start = whole.lastIndexOf(' ');
  const pair = { context: whole.slice(0, start), continuation: whole.slice(start) };
  // The word keeps its space after the delimiter, as in lambada_openai.
  const solved = `${pair.context}${targetDelimiter}${pair.continuation}`;
  return { kind: 'last-word', pairs: [pair], solved };
}

export function exactMatchExample(
  prompt: string,
  targets: readonly string[],
  {
    stops = [shotDelimiter],
    tokens = defaultAnswerTokens,
  }: { stops?: readonly string[] | undefined; tokens?: number | undefined },
): ExactMatchExample {
  return {
    kind: 'exact-match',
    prompt,
    targets,
    stops,
    tokens,
    solved: `${prompt}${targetDelimiter}${targets[0] ?? ''}`,
  };
}

/** Prepends a text to an example. */
export function prependText<One extends Example>(example: One, front: string): One {
  if (front === '') {
    return example;
  }
  return example.kind === 'exact-match'
    ? { ...example, prompt: front + example.prompt }
    : {
        ...example,
        pairs: example.pairs.map((pair) => ({ ...pair, context: front + pair.context })),
      };
}

/** Reader for one row format. */
export interface TaskReader<Schema extends v.GenericSchema = v.GenericSchema> {
  /** Name of the format. */
  readonly name: string;
  /** Fields that identify the format; `a|b` means one of both. */
  readonly fields: readonly string[];
  readonly schema: Schema;
  /** Field with the index of the correct choice. */
  readonly answer?: string;
  readonly read: (row: v.InferOutput<Schema>) => Example;
  /** True if the row counts as an example, in a file that starts with `first`; all rows count by default. */
  readonly counts?: (row: v.InferOutput<Schema>, first: v.InferOutput<Schema>) => boolean;
}

/** Types a reader's functions by its schema. */
export function taskReader<Schema extends v.GenericSchema>(reader: TaskReader<Schema>): TaskReader {
  return reader as unknown as TaskReader;
}

/** First reader whose fields are in the row. */
export function findReader(row: object, readers: readonly TaskReader[]): TaskReader | undefined {
  return readers.find(({ fields }) =>
    fields.every((names) => names.split('|').some((name) => name in row)),
  );
}
