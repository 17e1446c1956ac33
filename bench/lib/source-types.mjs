/**
 * The types of a model's stored weights, as a sentence for the results of a bench. Weights that were quantized before
 * lie on a grid, so measurements on them say nothing about quantizing float weights.
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { espalier } from './espalier.mjs';

const floatTypes = new Set(['F64', 'F32', 'F16', 'BF16']);
/** Weights that share a scale in the 4-bit types of GGUF, and the most values that they can have. */
const [blockSize, gridSize] = [32, 16];
/** Blocks of each matrix that are looked at. */
const mostBlocks = 4096;
const noEvidence = 'so the rows of quantized models say nothing about quantizing float weights';

/**
 * Describes the source of a bench by what `espalier inspect` reports as stored types.
 * @param {string} model
 */
export async function describeSource(model) {
  const { dtypes } = await espalier(['inspect', model]);
  return describeStoredTypes(model, Object.keys(dtypes));
}

/**
 * @param {string} model folder or file
 * @param {readonly string[]} types of its tensors
 */
export async function describeStoredTypes(model, types) {
  const stored = `Source weights: stored as ${types.join(', ')}`;
  if (types.some((type) => !floatTypes.has(type)))
    return `${stored}: already quantized, ${noEvidence}.`;
  const { matrices, onGrid } = await countMatricesOnGrid(model);
  if (matrices === 0) return `${stored}.`;
  return onGrid === 0
    ? `${stored}, not dequantized from 4 bits.`
    : `${stored}; ${onGrid} of ${matrices} matrices have at most ${gridSize} distinct values in ${blockSize} weights: dequantized from 4 bits, ${noEvidence}.`;
}

/**
 * Counts the float matrices of a folder, and those that have at most 16 distinct values in every block of 32 weights.
 * Counts nothing in a single file.
 * @param {string} model
 */
async function countMatricesOnGrid(model) {
  const counts = { matrices: 0, onGrid: 0 };
  if (!(await stat(model)).isDirectory()) return counts;
  const names = (await readdir(model)).filter((name) => name.endsWith('.safetensors'));
  for (const name of names) {
    const file = await open(join(model, name));
    try {
      for (const { offset, bytes, width } of await floatMatrices(file)) {
        const weights = Buffer.alloc(Math.min(bytes, mostBlocks * blockSize * width));
        await file.read(weights, 0, weights.length, offset);
        counts.matrices++;
        if (isOnGrid(weights, width)) counts.onGrid++;
      }
    } finally {
      await file.close();
    }
  }
  return counts;
}

/**
 * Float matrices of a safetensors file whose rows are whole blocks.
 * @param {import('node:fs/promises').FileHandle} file
 * @returns {Promise<{offset: number, bytes: number, width: number}[]>} `width`: bytes of a weight
 */
async function floatMatrices(file) {
  const size = Buffer.alloc(8);
  await file.read(size, 0, 8, 0);
  const header = Buffer.alloc(Number(size.readBigUInt64LE()));
  await file.read(header, 0, header.length, 8);
  const { __metadata__: _, ...tensors } = JSON.parse(header.toString());
  return Object.values(tensors).flatMap(({ dtype, shape, data_offsets: [start, end] }) => {
    const isMatrix = floatTypes.has(dtype) && shape.length === 2 && shape[1] % blockSize === 0;
    if (!isMatrix) return [];
    const bytes = end - start;
    return [{ offset: 8 + header.length + start, bytes, width: bytes / (shape[0] * shape[1]) }];
  });
}

/**
 * @param {Buffer} weights
 * @param {number} width bytes of a weight
 */
function isOnGrid(weights, width) {
  for (let start = 0; start < weights.length; start += blockSize * width) {
    const values = new Set();
    for (let i = 0; i < blockSize; i++) {
      values.add(weights.toString('latin1', start + i * width, start + (i + 1) * width));
    }
    if (values.size > gridSize) return false;
  }
  return weights.length > 0;
}
