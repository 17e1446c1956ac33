import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Example } from '../../extension/core/models/model-input';

const root = join(import.meta.dirname, '../fixtures/gguf-t5');

/** Models made by make_gguf_t5_fixtures.py. */
export const t5Names: readonly string[] = readdirSync(root).flatMap(
  (name) => /^(.+)\.gguf$/.exec(name)?.[1] ?? [],
);

export const t5File = (name: string): string => join(root, `${name}.gguf`);
export const t5Tokenizer = join(root, 'tokenizer.json');

/** Output of transformers with the dequantized weights. */
export function t5Golden(name: string): {
  readonly examples: readonly Example[];
  readonly output: Float32Array;
} {
  const inputs = JSON.parse(readFileSync(join(root, `${name}.json`), 'utf8')) as Readonly<
    Record<string, readonly (readonly number[])[]>
  >;
  const tensor = (ids: readonly number[]) => ({
    dtype: 'I64' as const,
    dims: [1, ids.length],
    data: BigInt64Array.from(ids, BigInt),
  });
  const { input_ids: sources = [], decoder_input_ids: targets } = inputs;
  const bytes = Uint8Array.from(readFileSync(join(root, `${name}.bin`)));
  return {
    examples: sources.map((source, row) => ({
      input_ids: tensor(source),
      attention_mask: tensor(source.map(() => 1)),
      ...(targets === undefined ? {} : { decoder_input_ids: tensor(targets[row] ?? []) }),
    })),
    output: new Float32Array(bytes.buffer),
  };
}

/** Texts with the ids that the package tokenizers gives them. */
export function t5Samples(): readonly { readonly text: string; readonly ids: number[] }[] {
  const { samples } = JSON.parse(readFileSync(join(root, 'samples.json'), 'utf8')) as {
    samples: { text: string; ids: number[] }[];
  };
  return samples;
}
