import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { readModelText } from '../checkpoints/model-file';
import { openSafetensors } from '../checkpoints/safetensors';
import { parseJson } from '../parse-json';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import type { HeadForm, HeadStep } from './encoders/encoder-architecture';
import { say } from '../message';
import type { Message } from '../message';

/**
 * Reduction of the last hidden states to one embedding per text: mean, first token or last token.
 */
export type Pooling = 'mean' | 'first' | 'last';

/** Heads for each kind of pooling, followed by `steps`. The class is the kind. */
export const poolingsWith = (steps: readonly HeadStep[]): readonly HeadForm[] =>
  (['mean', 'first', 'last'] as const).map((reads) => ({
    ...{ class: reads, auto: '', reads, steps },
    pools: true,
  }));

/** A linear layer after pooling. */
export const denseStep = (name: string, activation?: string): HeadStep => ({
  ...{ name, out: 'stored', optionalBias: true },
  ...(activation === undefined ? {} : { activation }),
});

/** Dense layer of a sentence-transformers folder, applied after the pooling. */
export interface DenseModule {
  readonly step: HeadStep;
  /** Tensors in the module's own file, by name in the module's folder. */
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  /** Name of the folder. */
  readonly path: string;
}

/** Weight of a linear layer after the pooling. */
export const denseWeight = (tensors: DenseModule['tensors']): LazyTensor | undefined =>
  [...tensors.values()].find(({ shape }) => shape.length === 2);

/**
 * Pooling and dense layers of a Sentence Transformers folder, or the reason why they are not
 * supported.
 */
export interface FolderPooling {
  readonly pooling?: Pooling;
  readonly dense?: readonly DenseModule[];
  readonly fault?: UserError;
}

const modulesSchema = v.array(v.looseObject({ type: v.string(), path: v.string() }));
const configSchema = v.looseObject({});

const download = say`Download the folder again.`;
const otherFormat = say`Choose another format.`;

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

/** Classes of PyTorch that a linear layer may end with, and our names of them. */
const denseActivations: Readonly<Record<string, string | undefined>> = {
  Identity: undefined,
  Tanh: 'tanh',
  ReLU: 'relu',
  GELU: 'gelu',
  SiLU: 'silu',
};

const className = (type: string): string => type.slice(type.lastIndexOf('.') + 1);

/**
 * Modules in the supported order. Dropout only matters in training, and normalization keeps the direction of an
 * embedding.
 */
const moduleOrder = ['Transformer', 'Pooling', 'Dense', 'Normalize'];

/** Number of the first module that is not in that order; −1 where all are. */
function otherModule(classes: readonly string[]): number {
  let at = 0;
  return classes.findIndex((name) => {
    const found = moduleOrder.indexOf(name);
    const isOther = name !== 'Dropout' && (found < at || (name === 'Dense' && at === 0));
    at = Math.max(at, found);
    return isOther;
  });
}

async function readModules(
  folder: string,
): Promise<v.InferOutput<typeof modulesSchema> | undefined> {
  return readJson(
    folder,
    join(folder, 'modules.json'),
    modulesSchema,
    'modules-invalid',
    say`It must be a list of modules with a type and a path.`,
  );
}

/** Subfolders of modules after the model that have weights. */
export async function furtherModules(folder: string): Promise<readonly string[]> {
  const modules = (await readModules(folder)) ?? [];
  return modules.flatMap(({ type, path }) => (className(type) === 'Dense' ? [path] : []));
}

/**
 * Pooling module in modules.json, and the linear layers after it; undefined if there is none.
 * @throws UserError for a damaged file.
 */
export async function folderPooling(folder: string): Promise<FolderPooling | undefined> {
  const modulesFile = join(folder, 'modules.json');
  const modules = (await readModules(folder)) ?? [];
  const other = otherModule(modules.map(({ type }) => className(type)));
  const otherType = modules[other]?.type;
  if (otherType !== undefined) {
    return { fault: notHeld(modulesFile, other, className(otherType)) };
  }
  const module = modules.find(({ type }) => className(type) === 'Pooling');
  if (module === undefined) {
    return undefined;
  }
  const file = join(folder, module.path, 'config.json');
  const config = await readJson(folder, file, configSchema, 'json-not-object', notObject);
  if (config === undefined) {
    return {
      fault: missing(
        file,
        'pooling-file-missing',
        say`The file that defines the pooling is missing.`,
      ),
    };
  }
  const { field, pooling } = poolingIn(config);
  const problem = say`llama.cpp supports pooling by the mean, the first or the last position only.`;
  if (pooling === undefined) {
    return {
      fault: new UserError('pooling-not-in-gguf', problem, { file, field, remedy: otherFormat }),
    };
  }
  const dense: DenseModule[] = [];
  for (const { type, path } of modules) {
    const read = className(type) === 'Dense' ? await readDense(folder, path) : undefined;
    if (read instanceof UserError) {
      return { fault: read };
    }
    dense.push(...(read === undefined ? [] : [read]));
  }
  return { pooling, dense };
}

/** Error for a module that GGUF doesn't support. */
const notHeld = (file: string, index: number, kind: string): UserError =>
  new UserError(
    'module-not-in-gguf',
    say`GGUF files can't store ${JSON.stringify(kind)} modules.`,
    {
      ...{ file, field: `[${index}].type` },
      remedy: say`Choose another format, or remove the module from modules.json.`,
    },
  );

const notObject = say`The file is not a JSON object.`;
const missing = (file: string, code: ErrorCode, problem: Message): UserError =>
  new UserError(code, problem, { file, remedy: download });

/** Reads a linear layer of a text embedding, or returns the reason why it isn't supported. */
async function readDense(folder: string, path: string): Promise<DenseModule | UserError> {
  const file = join(folder, path, 'config.json');
  const weights = join(folder, path, 'model.safetensors');
  const config = await readJson(folder, file, configSchema, 'json-not-object', notObject);
  const isPickled = existsSync(join(folder, path, pickled));
  const lacking = [file, ...(isPickled ? [] : [weights])].find((one) => !existsSync(one));
  if (config === undefined || lacking !== undefined) {
    return missing(lacking ?? file, 'module-file-missing', say`A file of the module is missing.`);
  }
  if (!existsSync(weights)) {
    return new UserError(
      'module-weights-pickled',
      say`The module's weights are in ${pickled}, which isn't supported.`,
      {
        file: join(folder, path, pickled),
        remedy: say`Save the module as model.safetensors.`,
      },
    );
  }
  const { activation_function: type, module_input_name: input = embedded } = config;
  const activation = className(String(type));
  if (input !== embedded || !Object.hasOwn(denseActivations, activation)) {
    const [field, value] =
      input === embedded ? ['activation_function', type] : ['module_input_name', input];
    return new UserError(
      'module-unsupported',
      say`The module can't run with ${JSON.stringify(value)}.`,
      {
        ...{ file, field },
        remedy: otherFormat,
      },
    );
  }
  const { tensors } = await openSafetensors(weights);
  return {
    path,
    step: denseStep(`${path}.linear`, denseActivations[activation]),
    tensors: new Map(
      [...tensors].map(([name, tensor]) => {
        const own = `${path}.${name}`;
        return [own, { ...tensor, name: own }];
      }),
    ),
  };
}

const pickled = 'pytorch_model.bin';

/** Name of a text's embedding in Sentence Transformers. */
const embedded = 'sentence_embedding';

/** Pooling mode in a module's config.json, with its field; undefined for unknown or multiple modes. */
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
  folder: string,
  file: string,
  schema: v.GenericSchema<unknown, T>,
  code: ErrorCode,
  problem: Message,
): Promise<T | undefined> {
  if (!existsSync(file)) {
    return undefined;
  }
  const parsed = v.safeParse(schema, parseJson(await readModelText(file, folder), file, download));
  if (!parsed.success) {
    throw new UserError(code, problem, { file, remedy: download });
  }
  return parsed.output;
}
