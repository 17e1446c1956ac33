import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder';

type DescribeStoredTypes = (model: string, types: readonly string[]) => Promise<string>;

const root = join(import.meta.dirname, '../../..');
const { describeStoredTypes } = (await import(join(root, 'bench/lib/source-types.mjs'))) as {
  describeStoredTypes: DescribeStoredTypes;
};
const folder = temporaryFolder();

it('names weights that were dequantized from 4 bits', async () => {
  await writeMatrix((row, i) => (row + 1) * (((i * 7) % 16) - 3.5));
  expect(await describeStoredTypes(folder, ['F32'])).toContain(
    'stored as F32; 1 of 1 matrices have at most 16 distinct values in 32 weights: dequantized from 4 bits',
  );
});

it('does not name a matrix with 17 values in one block', async () => {
  await writeMatrix((row, i) => (row === 1 && i === 63 ? 0.123 : ((i * 7) % 16) - 3.5));
  expect(await describeStoredTypes(folder, ['F32'])).toBe(
    'Source weights: stored as F32, not dequantized from 4 bits.',
  );
});

it('finds no grid in the sample, which was trained in floats', async () => {
  const sample = join(root, 'samples/espalier-sample');
  expect(await describeStoredTypes(sample, ['F16'])).toBe(
    'Source weights: stored as F16, not dequantized from 4 bits.',
  );
});

it('names quantized types of a file', async () => {
  expect(await describeStoredTypes('model.gguf', ['Q4_1', 'F32'])).toContain(
    'stored as Q4_1, F32: already quantized',
  );
});

/** Writes a safetensors file with one float32 matrix of 2 rows of 64. */
async function writeMatrix(weight: (row: number, i: number) => number): Promise<void> {
  const weights = Float32Array.from({ length: 128 }, (_, i) => weight(Math.floor(i / 64), i % 64));
  const tensor = { dtype: 'F32', shape: [2, 64], data_offsets: [0, weights.byteLength] };
  const header = Buffer.from(JSON.stringify({ weight: tensor, __metadata__: { format: 'pt' } }));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const bytes = Buffer.concat([size, header, Buffer.from(weights.buffer)]);
  await writeFile(join(folder, 'model.safetensors'), bytes);
}
