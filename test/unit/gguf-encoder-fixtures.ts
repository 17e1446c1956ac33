import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../fixtures/gguf-encoders');

/** Models made by make_gguf_encoder_fixtures.py. */
export const encoderNames: readonly string[] = readdirSync(root).flatMap(
  (name) => /^(.+)\.gguf$/.exec(name)?.[1] ?? [],
);

export const encoderFile = (name: string): string => join(root, `${name}.gguf`);

/** A folder's tokenizer.json of a kind. */
export const tokenizerFile = (kind: string): string => join(root, `tokenizer-${kind}.json`);

/** Pooled output of transformers with the dequantized weights. */
export function encoderGolden(name: string): {
  readonly inputIds: number[][];
  readonly pooling: string;
  readonly output: Float32Array;
} {
  const { inputIds, pooling } = JSON.parse(readFileSync(join(root, `${name}.json`), 'utf8')) as {
    inputIds: number[][];
    pooling: string;
  };
  const bytes = Uint8Array.from(readFileSync(join(root, `${name}.bin`)));
  return { inputIds, pooling, output: new Float32Array(bytes.buffer) };
}

/** Texts with the ids that the package tokenizers gives them. */
export function readSamples(
  kind: string,
): readonly { readonly text: string; readonly ids: number[] }[] {
  const { samples } = JSON.parse(readFileSync(join(root, `samples-${kind}.json`), 'utf8')) as {
    samples: { text: string; ids: number[] }[];
  };
  return samples;
}
