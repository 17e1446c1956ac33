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
  readonly level: number;
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
const blockSizes = [16, 32, 64, 128, 256] as const;

function isBlockSize(level: number): boolean {
  return blockSizes.some((size) => size === level);
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
  level: v.pipe(
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
  v.check(({ method, level }) => isLevel(method, level), 'The level does not fit the method'),
  // Conditions of the check and examples for editors of plans.
  v.metadata({
    allOf: [
      {
        if: { properties: { method: { enum: ['mpo', 'lowrank'] } } },
        then: { properties: { level: { minimum: 1 } } },
      },
      {
        if: { properties: { method: { const: 'int4' } } },
        then: { properties: { level: { enum: blockSizes } } },
      },
      {
        if: { properties: { method: { const: 'int8' } } },
        then: { properties: { level: { enum: [0, ...blockSizes] } } },
      },
      { if: { required: ['then'] }, then: { properties: { method: { const: 'lowrank' } } } },
    ],
    defaultSnippets: [
      { label: 'low rank', body: { tensor: '${1:weight}', method: 'lowrank', level: '^${2:64}' } },
      {
        label: 'matrix product operator',
        body: { tensor: '${1:weight}', method: 'mpo', level: '^${2:16}' },
      },
      {
        label: 'int8, a scale for each output',
        body: { tensor: '${1:weight}', method: 'int8', level: 0 },
      },
      {
        label: 'int4 in blocks',
        body: { tensor: '${1:weight}', method: 'int4', level: '^${2:32}' },
      },
    ],
  }),
);

/** True if `level` is valid for a method, regardless of the matrix. */
export function isLevel(method: MethodName, level: number): boolean {
  switch (method) {
    case 'mpo':
    case 'lowrank':
      return Number.isSafeInteger(level) && level >= 1;
    case 'int8':
      return level === 0 || isBlockSize(level);
    case 'int4':
      return isBlockSize(level);
    case 'gguf':
      return findWritableType(level) !== undefined;
  }
}

/** GGUF type of a compression's level, which is the number of the type. */
export function levelType(level: number): WritableType {
  const type = findWritableType(level);
  if (type === undefined) {
    throw new RangeError(`${level} is the number of no type that can be written`);
  }
  return type;
}

/** Parses a level as written by users. */
function parseLevel(method: MethodName, amount: string): number {
  const type = method === 'gguf' ? writableTypes.find((one) => one === amount) : undefined;
  return type === undefined ? Number(amount) : ggmlTypeNumber(type);
}

/** Like {@link Compression}, with a level per matrix that is derived from its target size. */
export type CompressionRequest = Omit<Compression, 'level'> &
  (
    | { readonly level: number }
    /** Share of the parameters of the dense matrix, in (0, 1]. */
    | { readonly ratio: number }
    /** The method's default level. */
    | { readonly level?: undefined; readonly ratio?: undefined }
  );

const { level: levelSchema, ...otherEntries } = compressionEntries;

/** Compression as a user requests it: with a level, a ratio of the weights to keep, or neither. */
export const compressionRequestSchema = v.object({
  ...otherEntries,
  level: v.optional(levelSchema),
  ratio: v.optional(v.number()),
});

/** METHOD[:LEVEL or :PERCENT%][:VARIANT][+THEN] */
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
  const level = parseLevel(named, amount);
  if (!isLevel(named, level)) {
    throw malformed(
      text,
      field,
      say`${amount} is not a valid setting of ${named}: ${levelWords[named]}.`,
    );
  }
  return { ...rest, level };
}

/** Formats a compression so that {@link parseCompression} can read it; omits sites. */
export function formatCompression(request: CompressionRequest): string {
  const { method, variant, then } = request;
  const amount =
    'ratio' in request && request.ratio !== undefined
      ? `${Number((request.ratio * 100).toPrecision(6))}%`
      : 'level' in request
        ? levelName(method, request.level)
        : undefined;
  const words = [method, amount, variant].filter((word) => word !== undefined);
  return `${words.join(':')}${then === undefined ? '' : `+${then}`}`;
}

const levelName = (method: MethodName, level: number | undefined): string | number | undefined =>
  method === 'gguf' && level !== undefined ? levelType(level) : level;

const blockSizeWords = `a power of two from ${blockSizes[0]} to ${blockSizes[4]}`;

/** Descriptions of each method's levels. */
export const levelWords: Readonly<Record<MethodName, string>> = {
  mpo: 'a bond dimension from 1',
  lowrank: 'a rank from 1',
  int8: `0 for a scale per output, or a block size, ${blockSizeWords}`,
  int4: `a block size, ${blockSizeWords}`,
  gguf: `one of ${writableTypes.join(', ')}`,
};

function malformed(text: string, field: string | undefined, problem: Message): UserError {
  return new UserError('compression-malformed', say`"${text}" is not a compression. ${problem}`, {
    ...(field === undefined ? {} : { field }),
    remedy: say`Write METHOD:LEVEL:VARIANT+THEN, such as lowrank:512, mpo:10%, int4:32:gptq or lowrank:50%+int4.`,
  });
}
