import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { readSmallText } from '../checkpoints/regular-file';
import { parseJson } from '../parse-json';
import { UserError } from '../user-error';
import type { HeadForm } from './encoders/encoder-architecture';
import { say } from '../message';

/** What is made of the last hidden states of a text: their mean, the first or the last. */
export type Pooling = 'mean' | 'first' | 'last';

const headOf = (reads: Pooling): HeadForm => ({ class: reads, auto: '', reads, steps: [] });

/** Each as a head, whose class is the kind. */
export const poolings: readonly HeadForm[] = [headOf('mean'), headOf('first'), headOf('last')];

/** What a folder of sentence-transformers says. */
interface FolderPooling {
  /** Where it says so. */
  readonly file: string;
  readonly field: string;
  /** Undefined for another kind, or for several side by side. */
  readonly pooling: Pooling | undefined;
}

const modulesSchema = v.array(v.looseObject({ type: v.string(), path: v.string() }));
const configSchema = v.looseObject({});

const download = say`Download the folder again.`;

/** Fields of a pooling module's config.json, each true for its kind. */
const kinds: Readonly<Record<string, Pooling>> = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_cls_token: 'first',
  pooling_mode_lasttoken: 'last',
};

/**
 * The pooling module that modules.json of a folder names; undefined where there is none.
 * @throws UserError for a damaged file.
 */
export async function folderPooling(folder: string): Promise<FolderPooling | undefined> {
  const modules = await readJson(
    join(folder, 'modules.json'),
    modulesSchema,
    say`It must be a list of modules with a type and a path.`,
  );
  const module = modules?.find(({ type }) => type.endsWith('.Pooling'));
  if (module === undefined) {
    return undefined;
  }
  const file = join(folder, module.path, 'config.json');
  const config = await readJson(file, configSchema, say`The file is not a JSON object.`);
  const [field = 'pooling_mode_mean_tokens', ...others] = Object.entries(config ?? {}).flatMap(
    ([name, value]) => (name.startsWith('pooling_mode_') && value === true ? [name] : []),
  );
  return { file, field, pooling: others.length > 0 ? undefined : kinds[field] };
}

async function readJson<T>(
  file: string,
  schema: v.GenericSchema<unknown, T>,
  problem: ReturnType<typeof say>,
): Promise<T | undefined> {
  if (!existsSync(file)) {
    return undefined;
  }
  const parsed = v.safeParse(schema, parseJson(await readSmallText(file), file, download));
  if (!parsed.success) {
    throw new UserError(problem, { file, remedy: download });
  }
  return parsed.output;
}
