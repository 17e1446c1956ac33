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

/** What a folder of sentence-transformers says: its pooling, or why GGUF files don't hold what it computes. */
interface FolderPooling {
  readonly pooling?: Pooling;
  readonly fault?: UserError;
}

const modulesSchema = v.array(v.looseObject({ type: v.string(), path: v.string() }));
const configSchema = v.looseObject({});

const download = say`Download the folder again.`;

/** Fields of a pooling module's config.json, each true for its kind, or the one that names it. */
const kinds: Readonly<Record<string, Pooling>> = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_cls_token: 'first',
  pooling_mode_lasttoken: 'last',
};
const named = 'pooling_mode';
const namedKinds: Readonly<Record<string, Pooling>> = {
  mean: 'mean',
  cls: 'first',
  lasttoken: 'last',
};

/** Modules that leave the direction of an embedding as it is; computed elsewhere, or not at all. */
const further = ['Transformer', 'Pooling', 'Normalize', 'Dropout'];
const classOf = (type: string): string => type.slice(type.lastIndexOf('.') + 1);

/**
 * The pooling module that modules.json of a folder names; undefined where there is none.
 * @throws UserError for a damaged file.
 */
export async function folderPooling(folder: string): Promise<FolderPooling | undefined> {
  const modulesFile = join(folder, 'modules.json');
  const modules = await readJson(
    modulesFile,
    modulesSchema,
    say`It must be a list of modules with a type and a path.`,
  );
  const other = modules?.findIndex(({ type }) => !further.includes(classOf(type))) ?? -1;
  const otherType = modules?.[other]?.type;
  if (otherType !== undefined) {
    const fault = new UserError(
      say`GGUF files hold no ${JSON.stringify(classOf(otherType))} modules.`,
      {
        ...{ file: modulesFile, field: `[${other}].type` },
        remedy: say`Choose another format, or remove the module from modules.json.`,
      },
    );
    return { fault };
  }
  const module = modules?.find(({ type }) => classOf(type) === 'Pooling');
  if (module === undefined) {
    return undefined;
  }
  const file = join(folder, module.path, 'config.json');
  const config = await readJson(file, configSchema, say`The file is not a JSON object.`);
  if (config === undefined) {
    const problem = say`The file that sets the pooling is missing.`;
    return { fault: new UserError(problem, { file, remedy: download }) };
  }
  const { field, pooling } = poolingIn(config);
  const problem = say`llama.cpp takes the mean of positions, the first or the last alone.`;
  return pooling === undefined
    ? { fault: new UserError(problem, { file, field, remedy: say`Choose another format.` }) }
    : { pooling };
}

/** The pooling that a module's config.json asks for, and where it does; undefined for another kind, or for several. */
function poolingIn(config: Readonly<Record<string, unknown>>): {
  readonly field: string;
  readonly pooling: Pooling | undefined;
} {
  const name = config[named];
  if (name !== undefined) {
    const kind = typeof name === 'string' ? namedKinds[name] : undefined;
    return { field: named, pooling: kind };
  }
  const asked = Object.keys(config).filter(
    (field) => field.startsWith(`${named}_`) && config[field] === true,
  );
  const [field = 'pooling_mode_mean_tokens'] = asked;
  const isNone = asked.length === 0 && config[field] === false;
  return { field, pooling: isNone || asked.length > 1 ? undefined : kinds[field] };
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
