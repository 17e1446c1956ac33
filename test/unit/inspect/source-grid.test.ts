import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ggmlBlock } from '../../../extension/core/checkpoints/ggml-types';
import { numberToHalf } from '../../../extension/core/checkpoints/half';
import { dequantize } from '../../../extension/core/checkpoints/quantize/dequantize';
import { detectGrid } from '../../../extension/core/checkpoints/quantize/detect-grid';
import { quantizeRows, roundRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { describeGrid, findSourceGrid } from '../../../extension/core/inspect/source-grid';
import type { SourceGrid } from '../../../extension/core/inspect/source-grid';
import { inEnglish } from '../../../extension/core/message';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const [rows, columns] = [32, 512];
const floats = ['F32', 'F16', 'BF16'] as const;

/** Normally distributed numbers (Box–Muller), the same for a seed. */
function normals(count: number, seed: number): Float32Array {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 15), 2_246_822_519) >>> 0;
    return (((mixed ^ (mixed >>> 13)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => 0.02 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

const weights = normals(rows * columns, 7);

/** Weights rounded to integers of `bits` bits with a scale, and a minimum if asymmetric, per group. */
function roundGroups(
  x: Float32Array,
  width: number,
  bits: number,
  isSymmetric: boolean,
): Float32Array {
  const result = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += width) {
    const group = x.subarray(at, at + width);
    const [low, high] = [Math.min(...group), Math.max(...group)];
    const most = 2 ** (bits - 1) - 1;
    const scale = isSymmetric ? Math.max(-low, high) / most : (high - low) / (2 ** bits - 1);
    const zero = isSymmetric ? 0 : Math.round(-low / scale);
    group.forEach((weight, i) => {
      const code = Math.round(weight / scale) + zero;
      const clamped = isSymmetric ? code : Math.min(2 ** bits - 1, Math.max(0, code));
      result[at + i] = (clamped - zero) * scale;
    });
  }
  return result;
}

const bookTypes = [
  ...(['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'] as const),
  ...(['MXFP4', 'NVFP4'] as const),
];

/** Weights of random blocks of a type, with scales of usual sizes. */
function randomBlocks(type: (typeof bookTypes)[number], seed: number): Float32Array {
  const { bytes, elements } = ggmlBlock(type);
  const count = (rows * columns) / elements;
  const blocks = Buffer.from(normals(count * bytes, seed).map((x) => 256 * 1e4 * Math.abs(x)));
  for (let at = 0, block = 0; at < blocks.length; at += bytes, block++) {
    const scale = numberToHalf(0.001 * (1 + (block % 7)));
    if (type === 'MXFP4') {
      blocks[at] = 120 + (block % 3);
    } else if (type === 'NVFP4') {
      blocks.set(
        [0, 1, 2, 3].map((i) => 32 + ((5 * block + i) % 40)),
        at,
      );
    } else if (type === 'IQ1_M') {
      for (let i = 0; i < 4; i++) {
        const word = blocks.readUInt16LE(at + 48 + 2 * i) & 0xfff;
        blocks.writeUInt16LE(word | (((scale >> (4 * i)) & 15) << 12), at + 48 + 2 * i);
      }
    } else {
      blocks.writeUInt16LE(scale, at);
    }
  }
  const weights = new Float32Array(rows * columns);
  dequantize(type, blocks, weights);
  return weights;
}

/** Weights rounded to floats of `fraction` fraction bits with exponents from -`down` on, and a scale per 128 columns. */
function roundFloats(x: Float32Array, fraction: number, down: number): Float32Array {
  return x.map((weight, i) => {
    const scale = 0.0003 * (1 + (Math.floor(i / 128) % 11) / 7);
    const exponent = Math.max(-down, Math.floor(Math.log2(Math.abs(weight / scale))));
    const unit = 2 ** (exponent - fraction);
    return Math.round(weight / scale / unit) * unit * scale;
  });
}

let files = 0;

/** A model whose matrices have these weights, in a file of floats. */
function modelWith(
  matrices: readonly Float32Array[],
  dtype: (typeof floats)[number],
  format: 'safetensors' | 'onnx' = 'safetensors',
  length = columns,
): Pick<OpenedModel, 'headers' | 'summary'> {
  files++;
  const file = join(folder, `${files}.bin`);
  const parts = matrices.map((matrix) => quantizeRows(dtype, matrix, length));
  writeFileSync(file, Buffer.concat(parts));
  let offset = 0;
  const tensors = parts.map((part, i) => {
    const name = `blocks.${i}.weight`;
    const shape = [part.length / (dtype === 'F32' ? 4 : 2) / length, length];
    const tensor = { name, dtype, shape, file, offset, length: part.length };
    offset += part.length;
    return tensor;
  });
  const summary = { quantization: undefined, compressed: undefined };
  const headers =
    format === 'safetensors'
      ? { format, checkpoint: { tensors: byName<LazyTensor>(tensors) } }
      : {
          format,
          graph: {
            source: {
              file: {
                initializers: byName(
                  tensors.map(({ shape, ...rest }) => ({ ...rest, dims: shape, mappable: true })),
                ),
              },
            },
          },
        };
  return { headers, summary } as unknown as Pick<OpenedModel, 'headers' | 'summary'>;
}

const byName = <T extends { name: string }>(items: readonly T[]): Map<string, T> =>
  new Map(items.map((item) => [item.name, item]));

/** The grid of a model of four matrices with different weights. */
async function detectedGrid(
  change: (matrix: Float32Array) => Float32Array,
  dtype: (typeof floats)[number],
): Promise<SourceGrid | undefined> {
  const matrices = [1, 2, 3, 4].map((seed) => change(normals(rows * columns, seed)));
  return findSourceGrid(modelWith(matrices, dtype));
}

const losslessTypes = ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q6_K'] as const;

describe('weights that were quantized before', () => {
  for (const dtype of floats) {
    it.each(losslessTypes)(`are found to be %s, which keeps them, in ${dtype}`, async (type) => {
      const grid = await detectedGrid((x) => roundRows(type, x, columns), dtype);
      expect(grid).toMatchObject({ isStored: false, matrices: 4, onGrid: 4 });
      expect(grid?.lossless[0]).toBe(type);
      // The steps of bfloat16 are too coarse to see that those of a K-quant are multiples of one number.
      expect([type, ...(dtype === 'BF16' ? ['Q4_1'] : [])]).toContain(grid?.type);
    });

    it.each(['Q2_K', 'Q3_K', 'IQ4_NL', 'IQ4_XS'] as const)(
      `are found to be %s in ${dtype}`,
      async (type) => {
        const grid = await detectedGrid((x) => roundRows(type, x, columns), dtype);
        expect(grid?.type).toBe(type);
      },
    );

    it.each([
      [32, true, 'Q4_0'],
      [64, true, 'int4 in groups of 64'],
      [128, true, 'int4 in groups of 128'],
      [32, false, 'Q4_1'],
      [64, false, 'int4 in groups of 64'],
      [128, false, 'int4 in groups of 128'],
    ] as const)(
      `are found to be int4 in groups of %i (symmetric: %s) in ${dtype}`,
      async (width, isSymmetric, type) => {
        const grid = await detectedGrid((x) => roundGroups(x, width, 4, isSymmetric), dtype);
        expect(grid?.type).toBe(type);
      },
    );
  }

  it.each(bookTypes)('are found to be %s', async (type) => {
    for (const dtype of floats) {
      const matrices = [1, 2, 3, 4].map((seed) => randomBlocks(type, seed));
      const grid = await findSourceGrid(modelWith(matrices, dtype));
      expect(grid).toMatchObject({ type, isStored: false, matrices: 4, onGrid: 4 });
    }
  });

  it('are found to be FP8 with a scale per block', async () => {
    for (const dtype of floats) {
      const e4m3 = await detectedGrid((x) => roundFloats(x, 3, 6), dtype);
      expect(e4m3?.type).toBe('FP8 (E4M3)');
      const e5m2 = await detectedGrid((x) => roundFloats(x, 2, 14), dtype);
      expect(e5m2?.type).toBe('FP8 (E5M2)');
    }
  });

  it('are rounded again by all types if they are MXFP4', async () => {
    const grid = await findSourceGrid(modelWith([randomBlocks('MXFP4', 1)], 'BF16'));
    expect(grid?.lossless).toEqual([]);
    expect(inEnglish(describeGrid(grid ?? expect.fail()))).toMatch(
      /their values are those of MXFP4. All quantization types of GGUF add rounding errors, Q8_0/,
    );
  });

  it('are found if a row has one scale', async () => {
    const grid = await detectedGrid((x) => roundGroups(x, columns, 8, true), 'F16');
    expect(grid?.type).toBe(`int8 in groups of ${columns}`);
  });

  it('are named by the type of most matrices', async () => {
    const matrices = [1, 2, 3, 4].map((seed) => {
      const x = normals(rows * columns, seed);
      return seed === 1 ? x : roundRows('Q4_1', x, columns);
    });
    const grid = await findSourceGrid(modelWith(matrices, 'F16'));
    expect(grid).toMatchObject({ type: 'Q4_1', matrices: 4, onGrid: 3 });
    expect(inEnglish(describeGrid(grid ?? expect.fail()))).toBe(
      'The weights were quantized before: their values are those of Q4_1. ' +
        'This is the type of 3 of 4 sampled matrices. ' +
        'Q4_1 stores them without loss; most other types add rounding errors.',
    );
  });

  it('are found in a graph that stores the transpose', async () => {
    const quantized = roundRows('Q4_0', weights, columns);
    const transpose = quantized.map(
      (_, i) => quantized[(i % rows) * columns + Math.floor(i / rows)] ?? 0,
    );
    const grid = await findSourceGrid(modelWith([transpose], 'F16', 'onnx', rows));
    expect(grid).toMatchObject({ type: 'Q4_0', matrices: 1 });
    expect(grid?.lossless[0]).toBe('Q4_0');
  });

  it('report the error that other types add', async () => {
    const grid = await detectedGrid((x) => roundRows('Q4_1', x, columns), 'F16');
    expect(grid?.added.Q4_1).toBeLessThan(0.0005);
    expect(grid?.added.Q4_0).toBeGreaterThan(0.05);
    expect(grid?.added.Q8_0).toBeGreaterThan(0.004);
  });
});

describe('weights that were never quantized', () => {
  it.each(floats)('have no grid in %s', async (dtype) => {
    expect(await detectedGrid((x) => x, dtype)).toBeUndefined();
  });

  it.each(floats)('have none if most matrices are floats, in %s', async (dtype) => {
    const matrices = [1, 2, 3, 4].map((seed) => {
      const x = normals(rows * columns, seed);
      return seed > 2 ? x : roundRows('Q4_1', x, columns);
    });
    expect(await findSourceGrid(modelWith(matrices, dtype))).toBeUndefined();
  });

  it.each(['F16', 'BF16'] as const)('have none if they were %s and are stored as F32', (dtype) => {
    expect(detectGrid(roundRows(dtype, weights, columns), columns)).toBeUndefined();
    const likeNorms = roundRows(
      dtype,
      weights.map((weight) => 1 + weight),
      columns,
    );
    expect(detectGrid(likeNorms, columns)).toBeUndefined();
  });

  it.each([
    ['zero', () => 0],
    ['constant', () => 0.3],
    ['zero or one', (x: number) => (x > 0 ? 1 : 0)],
    ['two values', (x: number) => (x > 0 ? 0.1 : -0.3)],
    ['near one, as in norms', (x: number) => 1 + x],
    ['mostly zero', (x: number) => (Math.abs(x) < 0.03 ? 0 : x)],
    ['uniform', (x: number) => Math.atan(50 * x)],
    ['heavy-tailed', (x: number) => x ** 3],
    ['sinusoids', (_: number, i: number) => Math.sin((i % columns) / 7 + Math.floor(i / columns))],
  ])('have none if they are %s', async (_, value) => {
    for (const dtype of floats) {
      expect(await detectedGrid((x) => x.map(value), dtype)).toBeUndefined();
    }
  });

  it('have none in the sample model', async () => {
    const model = await openModelFiles(join(process.cwd(), 'samples/espalier-sample'));
    expect(await findSourceGrid(model)).toBeUndefined();
  });
});
