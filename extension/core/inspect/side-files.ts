import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readSmallText } from '../checkpoints/regular-file';
import { record } from './config-facts';
import type { SideFile } from './model-description';

const roles: Readonly<Record<string, SideFile['role']>> = {
  'config.json': 'config',
  'genai_config.json': 'config',
  'tokenizer.json': 'tokenizer',
  'tokenizer_config.json': 'tokenizer',
  'tokenizer.model': 'tokenizer',
  'special_tokens_map.json': 'tokenizer',
  'added_tokens.json': 'tokenizer',
  'vocab.json': 'tokenizer',
  'vocab.txt': 'tokenizer',
  'merges.txt': 'tokenizer',
  'spiece.model': 'tokenizer',
  'generation_config.json': 'generation',
  'adapter_config.json': 'adapter',
  'adapter_model.safetensors': 'adapter',
  'preprocessor_config.json': 'processor',
  'processor_config.json': 'processor',
  'chat_template.jinja': 'template',
  'chat_template.json': 'template',
};

/** Fields worth showing, by file. */
const shown: Readonly<Record<string, readonly string[]>> = {
  'tokenizer_config.json': [
    'tokenizer_class',
    'model_max_length',
    'bos_token',
    'eos_token',
    'pad_token',
  ],
  'generation_config.json': [
    'do_sample',
    'temperature',
    'top_p',
    'top_k',
    'repetition_penalty',
    'max_new_tokens',
    'bos_token_id',
    'eos_token_id',
  ],
  'adapter_config.json': [
    'peft_type',
    'r',
    'lora_alpha',
    'lora_dropout',
    'target_modules',
    'base_model_name_or_path',
  ],
};

/** A file with these fields is read whole; a chat template makes them a few 100 KB at most. */
const maxReadBytes = 4 << 20;

/** The files of a folder that say how its model is used. */
export async function findSideFiles(folder: string): Promise<SideFile[]> {
  const names = await readdir(folder).catch((): string[] => []);
  const found = names.sort().flatMap((name) => {
    const role = roles[name];
    return role === undefined ? [] : [{ name, role }];
  });
  return Promise.all(
    found.map(async ({ name, role }) => {
      const path = join(folder, name);
      const { size } = await stat(path).catch(() => ({ size: 0 }));
      return { name, role, bytes: size, facts: await factsIn(path, name, size) };
    }),
  );
}

async function factsIn(path: string, name: string, size: number): Promise<Record<string, string>> {
  const fields = shown[name];
  if (fields === undefined || size > maxReadBytes) {
    return {};
  }
  let json: unknown;
  try {
    json = JSON.parse(await readSmallText(path));
  } catch {
    return {};
  }
  const config = record(json);
  const facts = fields.flatMap((field): [string, string][] => {
    const value = config[field];
    return value === undefined || value === null ? [] : [[field, textOf(value)]];
  });
  const template = 'chat_template' in config ? [['chat_template', 'yes']] : [];
  return Object.fromEntries([...facts, ...template]) as Record<string, string>;
}

/** Tokens are written as their text or as an object that has it. */
function textOf(value: unknown): string {
  const { content } = record(value);
  return typeof content === 'string'
    ? content
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);
}
