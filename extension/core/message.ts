/**
 * A text for people: an English pattern, which is also its key in the catalogue, and what stands at `{0}`,
 * `{1}` … Plain data, so that it crosses processes; whoever shows it translates it.
 */
export interface Message {
  readonly code: string;
  readonly parameters: readonly (string | Message)[];
}

/** Value of a placeholder in a message. Words that need translation are messages themselves. */
type Filling = string | number | bigint | boolean | Message;

/** A message from its text: `` say`Sublayer ${id} is not in the plan.` `` */
export function say(pattern: TemplateStringsArray, ...values: readonly Filling[]): Message {
  return {
    code: pattern.reduce((code, part, i) => `${code}{${i - 1}}${part}`),
    parameters: values.map((value) => (typeof value === 'object' ? value : String(value))),
  };
}

/** Message that is never translated, such as output of another program or text of a document. */
export const verbatim = (text: string): Message => ({ code: '{0}', parameters: [text] });

/** Messages one after the other; absent ones are left out. */
export function joined(messages: readonly (Message | undefined)[], separator = ' '): Message {
  const parameters = messages.filter((message) => message !== undefined);
  return { code: parameters.map((_, i) => `{${i}}`).join(separator), parameters };
}

/** `causal, soft cap 50` */
export const listed = (messages: readonly [Message, ...Message[]]): Message => {
  const [first, ...others] = messages;
  return others.reduce((all, one) => say`${all}, ${one}`, first);
};

/** `1 group`, `3 groups`: each noun has both in the catalogue. */
export const counted = (
  count: number,
  noun: string,
  format: (count: number) => string = String,
): Message => ({
  code: count === 1 ? `1 ${noun}` : `{0} ${noun}s`,
  parameters: count === 1 ? [] : [format(count)],
});

/** Says a pattern in the reader's language, its numbered places filled. */
export type Translate = (pattern: string, ...values: (string | number)[]) => string;

/** A message in the reader's language, those within it too. */
export function render({ code, parameters }: Message, translate: Translate): string {
  return translate(
    code,
    ...parameters.map((one) => (typeof one === 'object' ? render(one, translate) : one)),
  );
}

/** A message as it reads without translation. */
export const inEnglish = (message: Message): string => render(message, fill);

/** A pattern with its numbered places filled. */
export const fill: Translate = (pattern, ...values) => {
  let text = '';
  for (const part of splitPattern(pattern)) {
    text += typeof part === 'string' ? part : String(values[part] ?? `{${part}}`);
  }
  return text;
};

/** Texts and numbers of places of a pattern. */
type PatternParts = readonly (string | number)[];

/** Parts of the patterns that were filled, since labels of thousands of cells have the same. */
const knownParts = new Map<string, PatternParts>();

function splitPattern(pattern: string): PatternParts {
  const known = knownParts.get(pattern);
  if (known !== undefined) return known;
  const parts = pattern.split(/\{(\d+)\}/).map((part, i) => (i % 2 === 0 ? part : Number(part)));
  if (knownParts.size < MOST_PATTERNS) knownParts.set(pattern, parts);
  return parts;
}

/** Some patterns contain text of documents, so that there is no end to them. */
const MOST_PATTERNS = 1000;

/** A pattern for the editor, without the flags in brackets that say how on the command line. */
export const withoutFlags = (pattern: string): string => pattern.replaceAll(/ \(--[^()]+\)/g, '');

/** For `JSON.stringify` of what people and scripts read: messages in English. */
export function englishInJson(_: string, value: unknown): unknown {
  return isMessage(value) ? inEnglish(value) : value;
}

export const isMessage = (value: unknown): value is Message =>
  typeof value === 'object' && value !== null && 'code' in value && 'parameters' in value;
