import { existsSync } from 'node:fs';
import { readModelText } from '../checkpoints/model-file';
import { parseJson } from '../parse-json';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads an object from a small JSON file; undefined if the file doesn't exist.
 * @throws UserError with the given remedy if the file contains anything else.
 */
export async function readJsonObject(
  file: string,
  remedy: Message,
): Promise<JsonObject | undefined> {
  if (!existsSync(file)) {
    return undefined;
  }
  const text = await readModelText(file);
  const json = parseJson(text, file, remedy);
  if (!isRecord(json)) {
    throw new UserError('json-not-object', say`The file is not a JSON object.`, { file, remedy });
  }
  return json;
}
