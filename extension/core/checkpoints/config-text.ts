import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readModelText } from './model-file';
import { setField, parseJson, parseJsonText } from '../parse-json';
import { UserError } from '../user-error';
import { say } from '../message';

/** File next to a config.json with fields that it lacks, which are read as part of it. */
export const familyFileName = 'espalier-family.json';

/**
 * The text of a config.json as JSON, including the fields of {@link familyFileName}. Infinities,
 * which Python writes as words, are replaced with a number that overflows to infinity.
 * @throws UserError naming the file if it is missing or too large.
 */
export async function readConfigText(file: string): Promise<string> {
  const text = await readModelText(file);
  const more = join(dirname(file), familyFileName);
  try {
    parseJsonText(text);
    return existsSync(more) ? withFields(text, await readFields(more)) : text;
  } catch (error) {
    if (error instanceof UserError) {
      throw error;
    }
    return text.replaceAll(/([:[,]\s*-?)Infinity\b/g, '$11e999');
  }
}

/** The text of a config.json with fields that it lacks. */
export function withFields(text: string, fields: object): string {
  const known = parseJsonText(text) as object;
  const lacking = Object.entries(fields).filter(([field]) => !Object.hasOwn(known, field));
  return lacking.reduce((edited, [field, value]) => setField(edited, [field], value), text);
}

async function readFields(file: string): Promise<object> {
  const remedy = say`Delete it, and try the model again (espalier try-family).`;
  return { ...(parseJson(await readModelText(file), file, remedy) as object) };
}
