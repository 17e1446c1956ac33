import * as v from 'valibot';
import { ggmlTypeNumber, findWritableType, writableTypes } from '../checkpoints/ggml-types';
import type { WritableType } from '../checkpoints/ggml-types';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

/** Encodings that can replace a dense matrix. */
export const encodingNames = ['mpo', 'lowrank', 'int8', 'int4'] as const;
export type EncodingName = (typeof encodingNames)[number];

/** Methods for a matrix: encodings, and tensor types of GGUF files. */
export const methodNames = [...encodingNames, 'gguf'] as const;
export type MethodName = (typeof methodNames)[number];

/** Methods that can quantize the result of another method. */
export const quantizerNames = ['int8', 'int4'] as const;
export type QuantizerName = (typeof quantizerNames)[number];

/** Methods for embedding and head, which are quantized without calibration. */
export const embeddingMethods = [...quantizerNames, 'gguf'] as const;

/** Number of MPO sites, or the factors of the matrix sizes. */
export type SiteChoice =
  | number
  | { readonly out: readonly number[]; readonly in: readonly number[] };

/** Compression of a matrix. */
export interface Compression {
  readonly method: MethodName;
  /**
   * Bond dimension χ (mpo), rank (lowrank), group size (int4, groupwise int8), or 0: int8 with a scale per output and
   * inputs that are quantized at run time. For gguf, ggml's number of the type.
   */
  readonly setting: number;
  /** Variant of the method; the method's default if absent. */
  readonly variant?: string;
  /** Method that quantizes the result, such as the low-rank factors. */
  readonly then?: QuantizerName;
  /** Sites of an MPO; derived from the sizes if absent. */
  readonly sites?: SiteChoice;
}

/** Compression of one linear layer: an entry of a plan. */
export interface CompressionChoice extends Compression {
  /** Id of the linear layer. */
  readonly tensor: string;
}

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const siteFactors = v.pipe(v.array(size), v.minLength(2));
const groupSizes = [16, 32, 64, 128, 256] as const;

function isGroupSize(setting: number): boolean {
  return groupSizes.some((size) => size === setting);
}

/** Descriptions of the methods for editors of documents. */
const methodFacts: Readonly<Record<MethodName, string>> = {
  mpo: 'Matrix product operator (CompactifAI).',
  lowrank: 'Two matrices of a smaller rank.',
  int8: '8-bit integers.',
  int4: '4-bit integers.',
  gguf: 'A type of tensors in GGUF files.',
};

const methodEntry = <const Name extends MethodName>(names: readonly Name[]) =>
  v.pipe(
    v.picklist(names),
    v.metadata({
      description: 'Compression method.',
      enumDescriptions: names.map((name) => methodFacts[name]),
    }),
  );

/** Document fields that describe a compression. */
export const compressionEntries = {
  method: methodEntry(methodNames),
  setting: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(0),
    v.description(
      'Bond dimension of mpo, rank of lowrank, group size of int4 and of int8 in groups (a power of 2 from 16 to 256); 0 for int8 with a scale for each output.',
    ),
  ),
  variant: v.optional(
    v.pipe(v.string(), v.description('A variant of the method; the default when left out.')),
  ),
  then: v.optional(
    v.pipe(
      v.picklist(quantizerNames),
      v.description('Quantizes the two matrices that lowrank leaves.'),
    ),
  ),
  sites: v.optional(
    v.pipe(
      v.union([v.pipe(size, v.minValue(2)), v.strictObject({ out: siteFactors, in: siteFactors })]),
      v.description(
        'For mpo: the number of sites, or the factors of the two sizes; found from the sizes when left out.',
      ),
    ),
  ),
};

/** Entry of a plan; the table of methods checks that the variant exists. */
export const compressionChoiceSchema = v.pipe(
  v.strictObject({
    tensor: v.pipe(
      v.string(),
      v.description('The linear layer: the name of its weight, as espalier tensors lists it.'),
    ),
    ...compressionEntries,
    method: methodEntry(encodingNames),
  }),
  v.check(
    ({ method, setting }) => isSetting(method, setting),
    'The setting does not fit the method',
  ),
  // Conditions of the check and examples for editors of plans.
  v.metadata({
    allOf: [
      {
        if: { properties: { method: { enum: ['mpo', 'lowrank'] } } },
        then: { properties: { setting: { minimum: 1 } } },
      },
      {
        if: { properties: { method: { const: 'int4' } } },
        then: { properties: { setting: { enum: groupSizes } } },
      },
      {
        if: { properties: { method: { const: 'int8' } } },
        then: { properties: { setting: { enum: [0, ...groupSizes] } } },
      },
      { if: { required: ['then'] }, then: { properties: { method: { const: 'lowrank' } } } },
    ],
    defaultSnippets: [
      {
        label: 'low rank',
        body: { tensor: '${1:weight}', method: 'lowrank', setting: '^${2:64}' },
      },
      {
        label: 'matrix product operator',
        body: { tensor: '${1:weight}', method: 'mpo', setting: '^${2:16}' },
      },
      {
        label: 'int8, a scale for each output',
        body: { tensor: '${1:weight}', method: 'int8', setting: 0 },
      },
      {
        label: 'int4 in groups',
        body: { tensor: '${1:weight}', method: 'int4', setting: '^${2:32}' },
      },
    ],
  }),
);

/** True if `setting` is valid for a method, regardless of the matrix. */
export function isSetting(method: MethodName, setting: number): boolean {
  switch (method) {
    case 'mpo':
    case 'lowrank':
      return Number.isSafeInteger(setting) && setting >= 1;
    case 'int8':
      return setting === 0 || isGroupSize(setting);
    case 'int4':
      return isGroupSize(setting);
    case 'gguf':
      return findWritableType(setting) !== undefined;
  }
}

/** GGUF type of a compression's setting, which is the number of the type. */
export function settingType(setting: number): WritableType {
  const type = findWritableType(setting);
  if (type === undefined) {
    throw new RangeError(`${setting} is the number of no type that can be written`);
  }
  return type;
}

/** Parses a setting as written by users. */
function parseSetting(method: MethodName, amount: string): number {
  const type = method === 'gguf' ? writableTypes.find((one) => one === amount) : undefined;
  return type === undefined ? Number(amount) : ggmlTypeNumber(type);
}

/** Like {@link Compression}, with a setting per matrix that is derived from its target size. */
export type CompressionRequest = Omit<Compression, 'setting'> &
  (
    | { readonly setting: number }
    /** Share of the parameters of the dense matrix, in (0, 1]. */
    | { readonly ratio: number }
    /** The method's default setting. */
    | { readonly setting?: undefined; readonly ratio?: undefined }
  );

const { setting: settingSchema, ...otherEntries } = compressionEntries;

/** Compression as a user requests it: with a setting, a ratio of the weights to keep, or neither. */
export const compressionRequestSchema = v.object({
  ...otherEntries,
  setting: v.optional(settingSchema),
  ratio: v.optional(v.number()),
});

/** METHOD[:SETTING or :PERCENT%][:VARIANT][+THEN] */
const requestForm =
  /^(?<method>[a-z0-9]+)(?::(?<amount>\d+(?:\.\d+)?%?|[A-Z]\w*))?(?::(?<variant>[a-z-]+))?(?:\+(?<then>[a-z0-9]+))?$/;

/**
 * Parses a compression as written by users: `lowrank:512`, `mpo:10%`, `int4:32:gptq`, `lowrank:50%:covariance+int4`,
 * `gguf:Q4_K`.
 * @param field name of the field, for errors
 * @throws UserError that names the invalid part
 */
export function parseCompression(text: string, field?: string): CompressionRequest {
  const { method, amount, variant, then } = requestForm.exec(text.trim())?.groups ?? {};
  const named = methodNames.find((name) => name === method);
  if (named === undefined) {
    throw malformed(text, field, say`It must begin with one of ${methodNames.join(', ')}.`);
  }
  const quantizer = quantizerNames.find((name) => name === then);
  if (then !== undefined && quantizer === undefined) {
    throw malformed(text, field, say`Expected one of ${quantizerNames.join(', ')} after "+".`);
  }
  const rest = {
    method: named,
    ...(variant === undefined ? {} : { variant }),
    ...(quantizer === undefined ? {} : { then: quantizer }),
  };
  if (amount === undefined) {
    return rest;
  }
  if (amount.endsWith('%')) {
    const ratio = Number(amount.slice(0, -1)) / 100;
    if (!(ratio > 0 && ratio <= 1)) {
      throw malformed(text, field, say`A share must be above 0 % and at most 100 %.`);
    }
    return { ...rest, ratio };
  }
  const setting = parseSetting(named, amount);
  if (!isSetting(named, setting)) {
    throw malformed(
      text,
      field,
      say`${amount} is not a valid setting of ${named}: ${settingWords[named]}.`,
    );
  }
  return { ...rest, setting };
}

/** Formats a compression so that {@link parseCompression} can read it; omits sites. */
export function formatCompression(request: CompressionRequest): string {
  const { method, variant, then } = request;
  const amount =
    'ratio' in request && request.ratio !== undefined
      ? `${Number((request.ratio * 100).toPrecision(6))}%`
      : 'setting' in request
        ? settingName(method, request.setting)
        : undefined;
  const words = [method, amount, variant].filter((word) => word !== undefined);
  return `${words.join(':')}${then === undefined ? '' : `+${then}`}`;
}

const settingName = (
  method: MethodName,
  setting: number | undefined,
): string | number | undefined =>
  method === 'gguf' && setting !== undefined ? settingType(setting) : setting;

const groupSizeWords = `a power of two from ${groupSizes[0]} to ${groupSizes[4]}`;

/** Descriptions of each method's settings. */
export const settingWords: Readonly<Record<MethodName, string>> = {
  mpo: 'a bond dimension from 1',
  lowrank: 'a rank from 1',
  int8: `0 for a scale per output, or a group size, ${groupSizeWords}`,
  int4: `a group size, ${groupSizeWords}`,
  gguf: `one of ${writableTypes.join(', ')}`,
};

function malformed(text: string, field: string | undefined, problem: Message): UserError {
  return new UserError('compression-malformed', say`"${text}" is not a compression. ${problem}`, {
    ...(field === undefined ? {} : { field }),
    remedy: say`Write METHOD:SETTING:VARIANT+THEN, such as lowrank:512, mpo:10%, int4:32:gptq or lowrank:50%+int4.`,
  });
}
