import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { TensorData } from '../../../extension/core/checkpoints/lazy-tensor';
import { emitEncoding } from '../../../extension/core/models/encodings/emit-encoding';
import { storeEncodings } from '../../../extension/core/models/encodings/store-encodings';
import type {
  GroupQuantizedEncoding,
  MatrixEncoding,
} from '../../../extension/core/models/matrix-encoding';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput, floatTensor } from '../../../extension/core/runtime/tensors';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { roundToNearest } from '../../../extension/core/tensornet/quantize/group-quantized';
import {
  quantizePerOutput,
  quantizeSmoothed,
} from '../../../extension/core/tensornet/quantize/int8';
import {
  blockVariants,
  compressInt4,
  compressInt8,
} from '../../../extension/core/tensornet/quantize/quantizers';
import { compressionMethods } from '../../../extension/core/tensornet/compression-methods';
import { formBytes, plannedForm } from '../../../extension/core/tensornet/planned-encoding';
import { reconstruct } from '../../../extension/core/tensornet/reconstruct';
import { dataToFloats } from '../../../extension/core/tensornet/tensor-values';
import { correlatedRows, outputDistance, randomRows, computeStatistics } from './matrices';
import { randomRuns } from '../sample';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

const dequantized = async (form: MatrixEncoding<TensorData>): Promise<Rows> =>
  reconstruct(products, form);

const matrices = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 70 }), fc.nat(1000))
  .map(([count, length, seed]) => randomRows(count, length, seed));

describe('rounding to nearest in blocks', () => {
  it('is within half a scale of every weight, symmetric and asymmetric', async () => {
    await fc.assert(
      fc.asyncProperty(
        matrices,
        fc.constantFrom(4 as const, 8 as const),
        fc.constantFrom(16, 32, 64),
        fc.boolean(),
        async (matrix, bits, groupSize, isAsymmetric) => {
          const grid = { bits, groupSize, isAsymmetric, searches: false };
          const form = roundToNearest(matrix, grid, 'qdq');
          const scales = dataToFloats(form.scales);
          const { numbers } = await dequantized(form);
          const blocks = Math.ceil(matrix.length / groupSize);
          numbers.forEach((x, i) => {
            const [row, column] = [Math.floor(i / matrix.length), i % matrix.length];
            const scale = scales[row * blocks + Math.floor(column / groupSize)] ?? 0;
            const error = Math.abs(x - (matrix.numbers[i] ?? 0));
            expect(error).toBeLessThanOrEqual((Math.abs(scale) / 2) * (1 + 1e-5));
          });
        },
      ),
    );
  });

  it('with scales that are searched never has a larger squared error', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, fc.boolean(), async (matrix, isAsymmetric) => {
        const error = async (searches: boolean): Promise<number> => {
          const grid = { bits: 4, groupSize: 32, isAsymmetric, searches } as const;
          const { numbers } = await dequantized(roundToNearest(matrix, grid, 'qdq'));
          return Math.hypot(...numbers.map((x, i) => x - (matrix.numbers[i] ?? 0)));
        };
        expect(await error(true)).toBeLessThanOrEqual((await error(false)) * (1 + 1e-6));
      }),
    );
  });

  it('lays numbers out as MatMulNBits reads them: the first in the low half', () => {
    const numbers = Float32Array.from({ length: 20 }, (_, i) => (i < 16 ? i - 8 : 0));
    const grid = { bits: 4, groupSize: 16, isAsymmetric: true, searches: false } as const;
    const form = roundToNearest({ count: 1, length: 20, numbers }, grid, 'matmul-nbits');
    expect([...form.quants.bytes]).toEqual([
      ...[0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe],
      ...[0, 0, 0, 0, 0, 0, 0, 0],
    ]);
    expect([...dataToFloats(form.scales)]).toEqual([1, 0]);
    expect([...(form.zeros?.bytes ?? [])]).toEqual([0x08]);
    expect([form.quants.shape, form.scales.shape, form.zeros?.shape]).toEqual([
      [1, 2, 8],
      [1, 2],
      [1, 1],
    ]);
  });

  it('is lossless for 4-bit values', async () => {
    const numbers = Float32Array.from({ length: 32 }, (_, i) => ((i % 15) - 7) / 4);
    const grid = { bits: 4, groupSize: 32, isAsymmetric: false, searches: true } as const;
    const form = roundToNearest({ count: 1, length: 32, numbers }, grid, 'qdq');
    expect([...(await dequantized(form)).numbers]).toEqual([...numbers]);
  });
});

describe('int8 with a scale per output', () => {
  it('is within half a scale of every weight', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async (matrix) => {
        const form = quantizePerOutput(matrix);
        const scales = dataToFloats(form.scales);
        const { numbers } = await dequantized(form);
        numbers.forEach((x, i) => {
          const scale = scales[Math.floor(i / matrix.length)] ?? 0;
          const error = Math.abs(x - (matrix.numbers[i] ?? 0));
          expect(error).toBeLessThanOrEqual((scale / 2) * (1 + 1e-5));
        });
      }),
    );
  });
});

describe('int8 of smoothed inputs', () => {
  it('has less error of outputs than rounding, on inputs that depend on each other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1000), async (seed) => {
        const [matrix, inputs] = [randomRows(24, 80, seed), correlatedRows(300, 80, 60, seed)];
        const error = async (form: MatrixEncoding<TensorData>): Promise<number> =>
          outputDistance(inputs, matrix, await dequantized(form));
        const statistics = computeStatistics(inputs);
        const smoothed = await error(await quantizeSmoothed(products, matrix, statistics));
        expect(smoothed).toBeLessThan(0.9 * (await error(quantizePerOutput(matrix))));
      }),
      { numRuns: randomRuns(12, 3) },
    );
  });
});

describe('quantizing with compensation', () => {
  it('has less error of outputs than rounding, on inputs that depend on each other', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1000),
        fc.constantFrom(16, 32),
        fc.constantFrom('', '-asymmetric'),
        fc.constantFrom('gptq', 'gptq-ordered'),
        async (seed, setting, zeros, rounding) => {
          const [matrix, inputs] = [randomRows(24, 80, seed), correlatedRows(300, 80, 60, seed)];
          const statistics = computeStatistics(inputs);
          const error = async (variant: string): Promise<number> => {
            const context = { products, statistics };
            const form = await compressInt4(context, matrix, setting, `${variant}${zeros}`);
            return outputDistance(inputs, matrix, await dequantized(form));
          };
          const compensated = await error(rounding);
          expect(compensated).toBeLessThan(0.8 * (await error('rtn')));
          expect(compensated).toBeLessThan(0.8 * (await error('clip')));
        },
      ),
      { numRuns: randomRuns(12, 3) },
    );
  });

  it('rounds to nearest for independent inputs', async () => {
    const matrix = randomRows(10, 48, 1);
    const numbers = new Float64Array(48 * 48);
    for (let i = 0; i < 48; i++) {
      numbers[i * 48 + i] = 5;
    }
    const statistics = {
      count: 1,
      gram: { size: 48, numbers },
      meanMagnitudes: new Float64Array(48),
    };
    const context = { products, statistics };
    expect(await compressInt4(context, matrix, 16, 'gptq')).toEqual(
      await compressInt4(context, matrix, 16, 'clip'),
    );
  });
});

describe('quantized matrices in ONNX Runtime', () => {
  const cases = [
    ...blockVariants.flatMap((variant) => [
      { bits: 4 as const, variant, run: 'matmul-nbits' as const },
      { bits: 4 as const, variant, run: 'qdq' as const },
    ]),
    { bits: 8 as const, variant: 'clip', run: 'matmul-nbits' as const },
    { bits: 8 as const, variant: 'rtn-asymmetric', run: 'matmul-nbits' as const },
    { bits: 8 as const, variant: 'rtn-asymmetric', run: 'qdq' as const },
  ];

  it.each(cases)('of $bits bits, $variant, as $run give the dequantized product', async (one) => {
    const { bits, variant, run } = one;
    // No multiple of the block, and an odd number of blocks.
    const [matrix, inputs] = [randomRows(20, 72, 3), randomRows(5, 72, 4)];
    const context = { products, statistics: computeStatistics(randomRows(100, 72, 5)), run };
    const compress = bits === 4 ? compressInt4 : compressInt8;
    const form = await compress(context, matrix, 32, variant);
    expect((form as GroupQuantizedEncoding<TensorData>).run).toBe(run);
    const { numbers } = await dequantized(form);
    const result = await multiplied(form, inputs);
    const norm = Math.hypot(...result);
    let squares = 0;
    for (let row = 0; row < inputs.count; row++) {
      for (let o = 0; o < matrix.count; o++) {
        let sum = 0;
        for (let i = 0; i < 72; i++) {
          sum += (inputs.numbers[row * 72 + i] ?? 0) * (numbers[o * 72 + i] ?? 0);
        }
        squares += (sum - (result[row * matrix.count + o] ?? 0)) ** 2;
      }
    }
    // MatMulNBits quantizes the inputs to 8 bits as they come.
    expect(Math.sqrt(squares) / norm).toBeLessThan(run === 'qdq' && bits === 8 ? 1e-5 : 0.01);
  });
});

/** x·Wᵀ by ONNX Runtime. */
async function multiplied(form: MatrixEncoding<TensorData>, inputs: Rows): Promise<Float32Array> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-quantized-'));
  try {
    const stored = await storeEncodings(
      join(folder, 'forms.safetensors'),
      new Map([['layer', form]]),
    );
    const graph = new GraphBuilder('product');
    const rows = graph.input('rows', DataType.FLOAT, ['count', inputs.length]);
    const [matrix] = stored.values();
    if (matrix === undefined) {
      throw new Error('the form has not been stored');
    }
    graph.output('product', emitEncoding(graph, matrix, rows), DataType.FLOAT, ['count', 'out']);
    const session = await createSession(graph, { device: 'cpu', prepack: true });
    try {
      const feeds = { rows: floatTensor(inputs.numbers, [inputs.count, inputs.length]) };
      return Float32Array.from(floatOutput(await session.run(feeds), 'product'));
    } finally {
      await session.release();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('group sizes that are offered', () => {
  it('are longer only if that takes fewer bytes', () => {
    const settings = (input: number): number[] =>
      compressionMethods.int4.settings({ out: 3, in: input });
    expect(settings(192)).toEqual([32]);
    expect(settings(4096)).toEqual([32, 128]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (input) => {
        const bytes = settings(input).map((setting) =>
          formBytes(
            plannedForm(
              { out: 3, in: input },
              { method: 'int4', setting, variant: 'clip' },
              { isCalibrated: false },
            ),
          ),
        );
        expect(bytes).toEqual([...new Set(bytes)].sort((a, b) => b - a));
      }),
    );
  });
});
