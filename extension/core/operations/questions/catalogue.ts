import { fill } from '../../message';
import type { Translate } from '../../message';
import { readSmallText } from '../../regular-file';

/** Read once each; they are part of the extension. */
const catalogues = new Map<string, Promise<Readonly<Record<string, string>>>>();

/** Says messages in the language of a catalogue; in English without one. */
export async function translateBy(file: string | undefined): Promise<Translate> {
  if (file === undefined) {
    return fill;
  }
  const reading = catalogues.get(file) ?? read(file);
  catalogues.set(file, reading);
  const texts = await reading;
  return (pattern, ...values) => fill(texts[pattern] ?? pattern, ...values);
}

async function read(file: string): Promise<Readonly<Record<string, string>>> {
  return JSON.parse(await readSmallText(file)) as Record<string, string>;
}
