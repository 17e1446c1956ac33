import { join } from 'node:path';
import * as v from 'valibot';
import { readSmallText } from '../../../checkpoints/regular-file';
import { existsSync } from 'node:fs';
import { readJsonObject } from '../../../data/json-object';
import type { Pooling } from '../../../models/gguf/encoders/pooling';
import { parseJson } from '../../../parse-json';
import { UserError } from '../../../user-error';
import { say } from '../../../message';

const modulesSchema = v.array(v.looseObject({ type: v.string(), path: v.string() }));

const download = say`Download the model's folder again.`;

/** Fields of a pooling module's config.json, each true for its kind. */
const flags: readonly (readonly [field: string, pooling: Pooling])[] = [
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_cls_token', 'first'],
  ['pooling_mode_lasttoken', 'last'],
];

/**
 * What a folder of sentence-transformers makes of the last hidden states, as its modules.json says; undefined where
 * there is none.
 * @throws UserError for a damaged file, and for a kind that llama.cpp does not have.
 */
export async function folderPooling(folder: string): Promise<Pooling | undefined> {
  const file = join(folder, 'modules.json');
  if (!existsSync(file)) {
    return undefined;
  }
  const parsed = v.safeParse(modulesSchema, parseJson(await readSmallText(file), file, download));
  if (!parsed.success) {
    throw new UserError(say`It must be a list of modules with a type and a path.`, {
      file,
      remedy: download,
    });
  }
  const module = parsed.output.find(({ type }) => type.endsWith('.Pooling'));
  return module === undefined ? undefined : poolingOf(join(folder, module.path, 'config.json'));
}

async function poolingOf(file: string): Promise<Pooling> {
  const config = (await readJsonObject(file, download)) ?? {};
  const asked = Object.entries(config).filter(
    ([field, value]) => field.startsWith('pooling_mode_') && value === true,
  );
  const [only] = flags.filter(([field]) => asked.some(([one]) => one === field));
  if (only === undefined || asked.length > 1) {
    const [field = 'pooling_mode_mean_tokens'] = asked.at(-1) ?? [];
    throw new UserError(say`llama.cpp takes the mean of positions, the first or the last alone.`, {
      ...{ file, field },
      remedy: say`Choose another format.`,
    });
  }
  return only[1];
}
