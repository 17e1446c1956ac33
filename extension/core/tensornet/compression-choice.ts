import * as v from 'valibot';
import { UserError } from '../user-error';

/** What can be put in the place of a dense matrix. */
export const methodNames = ['mpo', 'lowrank', 'int8', 'int4'] as const;
export type MethodName = (typeof methodNames)[number];

/** Methods that can quantize what another one leaves. */
export const quantizerNames = ['int8', 'int4'] as const;
export type QuantizerName = (typeof quantizerNames)[number];

/** On how many sites a matrix is laid out, or the factors of its sizes. */
export type SiteChoice =
  number | { readonly out: readonly number[]; readonly in: readonly number[] };

/** How a matrix is compressed, whichever it is. */
export interface Compression {
  readonly method: MethodName;
  /**
   * Bond dimension χ (mpo), rank (lowrank), block size (int4, block-wise int8), or 0: int8 with a
   * scale for each output and inputs quantized as they come.
   */
  readonly level: number;
  /** One of the method's variants; the method's usual one when absent. */
  readonly variant?: string;
  /** Quantizes what the method leaves: the factors of a low rank. */
  readonly then?: QuantizerName;
  /** For mpo; found from the sizes when absent. */
  readonly sites?: SiteChoice;
}

/** What is done to one linear layer: an entry of a plan. */
export interface CompressionChoice extends Compression {
  /** Id of the linear layer. */
  readonly tensor: string;
}

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const siteFactors = v.pipe(v.array(size), v.minLength(2));
const minBlockSize = 16;
const maxBlockSize = 256;

function isBlockSize(level: number): boolean {
  return level >= minBlockSize && level <= maxBlockSize && Number.isInteger(Math.log2(level));
}

/** Entries of a document that say how a matrix is compressed. */
export const compressionEntries = {
  method: v.picklist(methodNames),
  level: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  variant: v.optional(v.string()),
  then: v.optional(v.picklist(quantizerNames)),
  sites: v.optional(
    v.union([v.pipe(size, v.minValue(2)), v.strictObject({ out: siteFactors, in: siteFactors })]),
  ),
};

/** An entry of a plan; that the variant exists is for the table of methods to say. */
export const compressionChoiceSchema = v.pipe(
  v.strictObject({ tensor: v.string(), ...compressionEntries }),
  v.check(({ method, level }) => isLevel(method, level), 'The level does not fit the method'),
);

/** Whether `level` can be one of `method`, whatever the matrix. */
export function isLevel(method: MethodName, level: number): boolean {
  switch (method) {
    case 'mpo':
    case 'lowrank':
      return Number.isSafeInteger(level) && level >= 1;
    case 'int8':
      return level === 0 || isBlockSize(level);
    case 'int4':
      return isBlockSize(level);
  }
}

/** As {@link Compression}, with a level for each matrix found from what is to be left of it. */
export type CompressionRequest = Omit<Compression, 'level'> &
  (
    | { readonly level: number }
    /** Share of the parameters of the dense matrix, in (0, 1]. */
    | { readonly ratio: number }
    /** The method's usual level. */
    | { readonly level?: undefined; readonly ratio?: undefined }
  );

const { level: levelSchema, ...otherEntries } = compressionEntries;

export const compressionRequestSchema = v.object({
  ...otherEntries,
  level: v.optional(levelSchema),
  ratio: v.optional(v.number()),
});

/** METHOD[:LEVEL or :PERCENT%][:VARIANT][+THEN] */
const requestForm =
  /^(?<method>[a-z0-9]+)(?::(?<amount>\d+(?:\.\d+)?%?))?(?::(?<variant>[a-z-]+))?(?:\+(?<then>[a-z0-9]+))?$/;

/**
 * Parses a compression as people write it: `lowrank:512`, `mpo:10%`, `int4:32:gptq`,
 * `lowrank:50%:covariance+int4`.
 * @throws UserError naming what is wrong with it.
 */
export function parseCompression(text: string): CompressionRequest {
  const { method, amount, variant, then } = requestForm.exec(text.trim())?.groups ?? {};
  const named = methodNames.find((name) => name === method);
  if (named === undefined) {
    throw malformed(text, `It does not begin with one of ${methodNames.join(', ')}.`);
  }
  const quantizer = quantizerNames.find((name) => name === then);
  if (then !== undefined && quantizer === undefined) {
    throw malformed(text, `After the + stands none of ${quantizerNames.join(', ')}.`);
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
      throw malformed(text, 'A share is more than 0 % and at most 100 %.');
    }
    return { ...rest, ratio };
  }
  const level = Number(amount);
  if (!isLevel(named, level)) {
    throw malformed(text, `${amount} is no level of ${named}: ${levelWords[named]}.`);
  }
  return { ...rest, level };
}

const blockSizes = `a power of two from ${minBlockSize} to ${maxBlockSize}`;

/** What levels of a method are, in words. */
export const levelWords: Readonly<Record<MethodName, string>> = {
  mpo: 'a bond dimension from 1',
  lowrank: 'a rank from 1',
  int8: `0 for a scale per output, or a block size, ${blockSizes}`,
  int4: `a block size, ${blockSizes}`,
};

function malformed(text: string, problem: string): UserError {
  return new UserError(`"${text}" is not a compression. ${problem}`, {
    remedy:
      'Write METHOD:LEVEL:VARIANT+THEN, such as lowrank:512, mpo:10%, int4:32:gptq or lowrank:50%+int4.',
  });
}
