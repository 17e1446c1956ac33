import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readModelText, resolveModelFile } from '../checkpoints/model-file';
import { findProjectors } from '../checkpoints/model-folder';
import { record } from './config-facts';
import type { SideFile } from './model-description';
import { parseJsonText } from '../parse-json';

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

/** Files up to this size are read whole; a chat template takes at most a few 100 KB. */
const maxReadBytes = 4 << 20;

/** Folders looked into for an adapter; more are data. */
const mostFolders = 64;

/** The files of a folder that say how its model is used, and the adapters in folders below it. */
export async function findSideFiles(folder: string): Promise<SideFile[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const below = entries.filter((entry) => entry.isDirectory()).slice(0, mostFolders);
  const adapters = below.flatMap(({ name }) =>
    Object.keys(roles)
      .filter((file) => roles[file] === 'adapter')
      .map((file) => ({ name: join(name, file), file })),
  );
  const beside = entries.map(({ name }) => ({ name, file: name }));
  const found = await Promise.all(
    [...beside, ...adapters].flatMap(({ name, file }) => {
      const role = roles[file];
      return role === undefined ? [] : [describe(folder, name, file, role)];
    }),
  );
  const projectors = (await findProjectors(folder)).map(({ name, bytes, types }): SideFile => ({
    ...{ name, bytes, role: 'projector' },
    facts: types.length === 0 ? {} : { projector_type: types.join(', ') },
  }));
  return [...found.flatMap((file) => file ?? []), ...projectors].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  );
}

/** Undefined if there is no such file, or if it is a link out of the folder. */
async function describe(
  folder: string,
  name: string,
  file: string,
  role: SideFile['role'],
): Promise<SideFile | undefined> {
  const path = join(folder, name);
  const found = await resolveModelFile(path, folder)
    .then(async (file) => stat(file))
    .catch(() => undefined);
  return found === undefined
    ? undefined
    : { name, role, bytes: found.size, facts: await factsIn(path, file, found.size) };
}

async function factsIn(path: string, name: string, size: number): Promise<Record<string, string>> {
  const fields = shown[name];
  if (fields === undefined || size > maxReadBytes) {
    return {};
  }
  let json: unknown;
  try {
    json = parseJsonText(await readModelText(path));
  } catch {
    return {};
  }
  const config = record(json);
  const facts = fields.flatMap((field): [string, string][] => {
    const value = config[field];
    return value === undefined || value === null ? [] : [[field, formatFact(value)]];
  });
  const template = 'chat_template' in config ? [['chat_template', 'yes']] : [];
  return Object.fromEntries([...facts, ...template]) as Record<string, string>;
}

/** Tokens are written as their text or as an object that has it. */
function formatFact(value: unknown): string {
  const { content } = record(value);
  return typeof content === 'string'
    ? content
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);
}
