import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readModelText } from './model-file';
import { setField } from '../set-json-field';
import { parseJson, parseJsonText } from '../parse-json';
import { UserError } from '../user-error';
import { say } from '../message';

/** Beside a config.json: fields that it lacks, read as if they stood there. */
export const familyFileName = 'espalier-family.json';

/**
 * The text of a config.json as JSON, with the fields of {@link familyFileName}: Python writes infinities as
 * words, which JSON has not; a number beyond all others stands for one in either.
 * @throws UserError naming the file when it is missing or too large.
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
