import * as v from 'valibot';
import type { MatrixEncoding } from '../matrix-encoding';

/** A chain of more sites than this would have sites of size 1. */
const maxSites = 16;
const smallestBlock = 16;

const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const sizes = v.pipe(v.array(size), v.minLength(1), v.maxLength(maxSites));
const groupSize = v.pipe(
  size,
  v.check(
    (value) => value >= smallestBlock && Number.isInteger(Math.log2(value)),
    'A group has 16, 32, 64 or another power of 2 of inputs',
  ),
);

/** Encodings without nested encodings. */
const plainSpecs = [
  v.strictObject({ kind: v.literal('dense') }),
  v.strictObject({
    kind: v.literal('group-quantized'),
    bits: v.picklist([4, 8]),
    groupSize,
    /** True if blocks have zero points. */
    zeros: v.boolean(),
    run: v.picklist(['matmul-nbits', 'qdq', 'basic']),
  }),
  v.strictObject({
    kind: v.literal('int8'),
    /** True if the input is scaled first. */
    inputScale: v.boolean(),
  }),
] as const;
const plainSpec = v.variant('kind', [...plainSpecs]);

/** Encoding of a linear layer in config.json. Tensor names are in stored-forms. */
export const encodingSpec = v.variant('kind', [
  ...plainSpecs,
  v.strictObject({
    kind: v.literal('low-rank'),
    rank: size,
    left: plainSpec,
    right: plainSpec,
  }),
  v.strictObject({
    kind: v.literal('mpo'),
    sites: v.strictObject({ out: sizes, in: sizes }),
    bonds: v.pipe(v.array(size), v.maxLength(maxSites - 1)),
    run: v.picklist(['contracted', 'chained']),
    /** True if the input is scaled first. */
    inputScale: v.boolean(),
  }),
]);
export type EncodingSpec = v.InferOutput<typeof encodingSpec>;
type PlainSpec = v.InferOutput<typeof plainSpec>;

/** Encodings by sublayer id and then by the linear layer's module path in its block, such as `mlp.up_proj`. */
export const compressedEncodings = v.record(v.string(), v.record(v.string(), encodingSpec));
export type CompressedEncodings = Readonly<Record<string, Readonly<Record<string, EncodingSpec>>>>;

/** Formats counts such as `24 × low-rank, 4 × int8`. */
export function countForms(compressed: CompressedEncodings): string {
  const kinds = Object.values(compressed).flatMap((forms) =>
    Object.values(forms).map(({ kind }) => kind),
  );
  return [...new Set(kinds)]
    .map((kind) => `${kinds.filter((one) => one === kind).length} × ${kind}`)
    .join(', ');
}

/** Fields that describe an encoding, apart from its tensors. */
export function describeEncoding(form: MatrixEncoding<unknown>): EncodingSpec {
  switch (form.kind) {
    case 'low-rank': {
      const { kind, rank, left, right } = form;
      return { kind, rank, left: describeFactor(left), right: describeFactor(right) };
    }
    case 'mpo': {
      const { kind, sites, bonds, run, inputScale } = form;
      return {
        kind,
        sites: { out: [...sites.out], in: [...sites.in] },
        bonds: [...bonds],
        run,
        inputScale: inputScale !== undefined,
      };
    }
    default:
      return describePlain(form);
  }
}

/** Descriptions of several encodings, by weight name. */
export function describeForms(
  forms: ReadonlyMap<string, MatrixEncoding<unknown>>,
): Record<string, EncodingSpec> {
  return Object.fromEntries([...forms].map(([name, form]) => [name, describeEncoding(form)]));
}

type PlainForm = Exclude<MatrixEncoding<unknown>, { kind: 'low-rank' | 'mpo' }>;

function describePlain(form: PlainForm): PlainSpec {
  switch (form.kind) {
    case 'dense':
      return { kind: form.kind };
    case 'int8':
      return { kind: form.kind, inputScale: form.inputScale !== undefined };
    case 'group-quantized': {
      const { kind, bits, groupSize: block, zeros, run } = form;
      return { kind, bits, groupSize: block, zeros: zeros !== undefined, run };
    }
  }
}

function describeFactor(form: MatrixEncoding<unknown>): PlainSpec {
  if (form.kind === 'low-rank' || form.kind === 'mpo') {
    throw new Error(`a factor of a low rank is not stored as ${form.kind}`);
  }
  return describePlain(form);
}
