import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../fixtures/gguf');

/** Models made by make_gguf_fixtures.py. */
export const ggufNames: readonly string[] = readdirSync(root)
  .filter((name) => name.endsWith('.json') && !name.startsWith('tokenizer'))
  .map((name) => name.slice(0, -'.json'.length))
  .sort();

/** Kinds that there is a tokenizer of. */
export const tokenizerKinds: readonly string[] = readdirSync(root).flatMap(
  (name) => /^tokenizer-(.+)\.json$/.exec(name)?.[1] ?? [],
);

/** Files with a tensor [2, 512] of random blocks of each format, and their values by the reference. */
export const blockFiles = ['blocks', 'blocks-books'] as const;

interface SharingKinds {
  readonly texts: readonly string[];
  readonly kinds: Readonly<
    Record<
      string,
      {
        /** Names that llama.cpp divides texts for alike. */
        readonly alike: readonly string[];
        readonly normalizer: object | null;
        readonly pre_tokenizer: object;
        readonly ignore_merges: boolean;
        /** Token ids of each text, from the native tokenizers library. */
        readonly ids: readonly (readonly number[])[];
      }
    >
  >;
}

/** Kinds of tokenizers that share the vocabulary of `tokenizers.gguf` (see tokenizer-of-kind.ts). */
export const sharingKinds = JSON.parse(
  readFileSync(join(root, 'tokenizers.json'), 'utf8'),
) as SharingKinds;

export function ggufFixture(file: string): string {
  return join(root, file);
}

export function ggufFloats(file: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(ggufFixture(file))).buffer);
}

/** Output of transformers with the dequantized weights. */
export function ggufGolden(name: string): { inputIds: number[][]; logits: Float32Array } {
  const { inputIds } = JSON.parse(readFileSync(ggufFixture(`${name}.json`), 'utf8')) as {
    inputIds: number[][];
  };
  return { inputIds, logits: ggufFloats(`${name}.bin`) };
}
