import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readModelText } from '../checkpoints/model-file';
import { say } from '../message';
import { parseJson } from '../parse-json';
import { UserError } from '../user-error';
import type { Message } from '../message';

export const downloadTokenizer = say`Download the model's tokenizer again.`;

/** Tokenizer settings from files other than tokenizer.json. */
export interface TokenizerSettings {
  /** Contents of tokenizer_config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Chat template (Jinja), if the model has one. */
  readonly chatTemplate: string | undefined;
  /** Special tokens by name, such as `bos_token`. */
  readonly specialTokens: Readonly<Record<string, string>>;
}

/**
 * Reads the settings of a folder's tokenizer.
 * @throws UserError naming a damaged file.
 */
export async function readTokenizerSettings(folder: string): Promise<TokenizerSettings> {
  const config = await readObject(join(folder, 'tokenizer_config.json'));
  const map = await readObject(join(folder, 'special_tokens_map.json'));
  return {
    config,
    chatTemplate: await readChatTemplate(folder, config),
    specialTokens: { ...readSpecialTokens(map), ...readSpecialTokens(config) },
  };
}

/** Reads the chat template. As in transformers, a separate file takes precedence over tokenizer_config.json. */
async function readChatTemplate(
  folder: string,
  config: Readonly<Record<string, unknown>>,
): Promise<string | undefined> {
  const file = join(folder, 'chat_template.jinja');
  if (existsSync(file)) {
    return readModelText(file);
  }
  const json = await readObject(join(folder, 'chat_template.json'));
  return selectTemplate(json['chat_template']) ?? selectTemplate(config['chat_template']);
}

type JsonObject = Readonly<Record<string, unknown>>;

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

/** The template, or the one named `default` if there are several. */
function selectTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') {
    return value;
  }
  const named = Array.isArray(value) ? (value as unknown[]).filter(isRecord) : [];
  const template = named.find(({ name }) => name === 'default')?.['template'];
  return typeof template === 'string' ? template : undefined;
}

/** Special tokens, stored as strings or as objects with `content`. */
function readSpecialTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    const text = isRecord(value) ? value['content'] : value;
    if (name.endsWith('_token') && typeof text === 'string') {
      tokens[name] = text;
    }
  }
  return tokens;
}

async function readObject(file: string): Promise<JsonObject> {
  return (await readJsonObject(file, downloadTokenizer)) ?? {};
}
