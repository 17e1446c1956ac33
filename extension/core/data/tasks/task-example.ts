/** A continuation whose likelihood behind a context is asked for. */
export interface Pair {
  readonly context: string;
  /** With the blank in front of it. */
  readonly continuation: string;
  /** Characters of the choice, that `acc_norm` divides by; absent where the choice is in the context. */
  readonly length?: number;
}

interface Promptable {
  /** In front of everything: what the task is about. Only examples with the same are shots of each other. */
  readonly head?: string;
  /** The example with its answer, as a shot; absent where the file does not tell. */
  readonly solved?: string | undefined;
}

/** The likeliest of its pairs is the answer. */
export interface ChoicesExample extends Promptable {
  readonly kind: 'multiple-choice';
  readonly pairs: readonly Pair[];
  /** Index of the right pair. */
  readonly answer: number;
}

/** Right where every token of its one pair's continuation is the likeliest. */
export interface LastWordExample extends Promptable {
  readonly kind: 'last-word';
  readonly pairs: readonly Pair[];
}

/** Right where the model writes one of the targets. */
export interface ExactMatchExample extends Promptable {
  readonly kind: 'exact-match';
  readonly prompt: string;
  readonly targets: readonly string[];
  /** Strings that end the answer, themselves left out. */
  readonly stops: readonly string[];
  /** Most tokens of the answer. */
  readonly tokens: number;
}

export type Example = ChoicesExample | LastWordExample | ExactMatchExample;

/** Of lm-evaluation-harness: between question and answer, and behind a shot. */
export const targetDelimiter = ' ';
export const shotDelimiter = '\n\n';
/** Its `max_gen_toks`. */
const defaultAnswerTokens = 256;

/** One context and several choices. */
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

/** Several contexts and what follows all of them: partial evaluation. */
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

/** A text, parted in front of the blank before its last word. */
export function lastWordExample(text: string): LastWordExample {
  const whole = text.trimEnd();
  const start = whole.lastIndexOf(' ');
  const pair = { context: whole.slice(0, start), continuation: whole.slice(start) };
  // The word keeps its blank behind the delimiter, as in lambada_openai.
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

/** An example with text in front of it. */
export function behindText<One extends Example>(example: One, front: string): One {
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
