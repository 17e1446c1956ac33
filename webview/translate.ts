import { fill, render, withoutFlags } from '../extension/core/message';
import type { Message, Translate } from '../extension/core/message';

/** Texts by their English pattern; the page holds none where the editor speaks English. */
const catalogue = readCatalogue();

function readCatalogue(): Readonly<Record<string, string>> {
  // Tests of logic have no page.
  const page = 'document' in globalThis ? document : undefined;
  const text = page?.querySelector<HTMLMetaElement>('meta[name="catalogue"]')?.content ?? '{}';
  return JSON.parse(text) as Record<string, string>;
}

/** A pattern in the editor's language, its numbered places filled. */
export const t: Translate = (pattern, ...values) => fill(catalogue[pattern] ?? pattern, ...values);

/** A message of the core in the editor's language. */
export const tell = (message: Message): string =>
  render(message, (pattern, ...values) =>
    fill(withoutFlags(catalogue[pattern] ?? pattern), ...values),
  );

/** `Distance: 0.029` */
export const named = (name: string, value: string): string => t('{0}: {1}', name, value);

/** `small, planned, 3 ties` */
export const listed = (parts: readonly string[]): string => parts.join(t(', '));

/** Sentences next to each other, such as `Filled points are measured. Drag the line.` */
export const joinSentences = (sentences: readonly string[]): string =>
  sentences.reduce((before, next) => t('{0} {1}', before, next));
