import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  compressWithEach,
  compressMatrix,
} from '../../../extension/core/tensornet/compress-matrix';
import type { CompressedMatrix } from '../../../extension/core/tensornet/compress-matrix';
import type { Compression } from '../../../extension/core/tensornet/compression-choice';
import type { CompressionContext } from '../../../extension/core/tensornet/compression-context';
import { compressionMethods } from '../../../extension/core/tensornet/compression-methods';
import {
  encodingParameters,
  mapTensors,
} from '../../../extension/core/models/encodings/encoding-facts';
import { formBytes, plannedForm } from '../../../extension/core/tensornet/planned-encoding';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { reconstruct } from '../../../extension/core/tensornet/reconstruct';
import {
  correlatedRows,
  outputDistance,
  randomRows,
  computeStatistics,
  withLayer,
} from './matrices';
import { randomRuns } from '../sample';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

async function compressed(
  matrix: Rows,
  compression: Compression,
  context: Partial<CompressionContext> = {},
  transposed = false,
): Promise<CompressedMatrix> {
  return withLayer(
    matrix,
    async (layer) => compressMatrix({ products, ...context }, layer, compression),
    transposed,
  );
}

function relativeDistance(a: Rows, b: Rows): number {
  const difference = a.numbers.map((x, i) => x - (b.numbers[i] ?? 0));
  const norm = Math.hypot(...a.numbers);
  return norm === 0 ? 0 : Math.hypot(...difference) / norm;
}

/** A compression of every method and variant. */
const all: Compression[] = [
  ...['plain', 'scaled'].map((variant) => ({ method: 'mpo' as const, setting: 6, variant })),
  ...['plain', 'scaled', 'covariance'].map((variant) => ({
    method: 'lowrank' as const,
    setting: 5,
    variant,
  })),
  { method: 'lowrank', setting: 5, then: 'int4' },
  { method: 'lowrank', setting: 5, then: 'int8' },
  { method: 'int8', setting: 0 },
  { method: 'int8', setting: 16, variant: 'clip' },
  ...compressionMethods.int4.variants.map((variant) => ({
    method: 'int4' as const,
    setting: 16,
    variant,
  })),
];

describe('a compressed matrix', () => {
  it.each(all)(
    'of $method $variant $then reports its true errors and sizes',
    async (compression) => {
      const [matrix, inputs] = [randomRows(24, 40, 1), correlatedRows(60, 40, 20, 2)];
      const statistics = computeStatistics(inputs);
      const found = await compressed(matrix, compression, { statistics });
      const back = await reconstruct(products, found.encoding);
      expect([back.count, back.length]).toEqual([24, 40]);
      expect(found.error).toBeCloseTo(relativeDistance(matrix, back), 5);
      const zeros = { ...matrix, numbers: new Float32Array(matrix.numbers.length) };
      const expected = outputDistance(inputs, matrix, back) / outputDistance(inputs, matrix, zeros);
      expect(found.outputError).toBeCloseTo(expected, 4);
      expect(found.error).toBeGreaterThan(0);
      expect(found.error).toBeLessThan(1);
    },
  );

  it.each(all)(
    'of $method $variant $then is the same from a transposed weight',
    async (compression) => {
      const statistics = computeStatistics(correlatedRows(50, 33, 30, 4));
      const matrix = randomRows(18, 33, 3);
      const plain = await compressed(matrix, compression, { statistics });
      const rotatedResult = await compressed(matrix, compression, { statistics }, true);
      expect(rotatedResult).toEqual(plain);
    },
  );

  it.each(all)(
    'of $method $variant $then can be of zeros, of one row, of inputs never seen',
    async (compression) => {
      const nothing = computeStatistics({ count: 3, length: 20, numbers: new Float32Array(60) });
      for (const matrix of [
        { count: 4, length: 20, numbers: new Float32Array(80) },
        randomRows(1, 20, 5),
        randomRows(12, 20, 6),
      ]) {
        const found = await compressed(matrix, compression, { statistics: nothing });
        const back = await reconstruct(products, found.encoding);
        expect(back.numbers.every(Number.isFinite)).toBe(true);
        expect(found.error).toBeCloseTo(relativeDistance(matrix, back), 5);
        expect(found.outputError).toBe(0);
      }
    },
  );

  it.each(all)('of $method $variant $then refuses NaN, naming the tensor', async (compression) => {
    const matrix = randomRows(6, 20, 7);
    matrix.numbers[11] = Number.NaN;
    const statistics = computeStatistics(randomRows(30, 20, 8));
    await expect(compressed(matrix, compression, { statistics })).rejects.toMatchObject({
      subject: { field: 'layer.weight' },
    });
  });

  it('is the same one by one and in parallel, except for rounding of the ranks', async () => {
    const matrix = randomRows(30, 44, 11);
    const statistics = computeStatistics(correlatedRows(90, 44, 40, 12));
    const compressions: Compression[] = [
      { method: 'lowrank', setting: 3 },
      { method: 'int4', setting: 16 },
      { method: 'lowrank', setting: 12 },
      { method: 'mpo', setting: 5 },
      { method: 'lowrank', setting: 12, variant: 'plain', then: 'int8' },
    ];
    const context = { products, statistics };
    const together = await withLayer(matrix, async (layer) => {
      const found: CompressedMatrix[] = [];
      for await (const one of compressWithEach(context, layer, compressions)) {
        found.push(one);
      }
      return found;
    });
    expect(together).toHaveLength(compressions.length);
    for (const [i, compression] of compressions.entries()) {
      const alone = await compressed(matrix, compression, { statistics });
      expect(together[i]?.parameters).toBe(alone.parameters);
      expect(together[i]?.bytes).toBe(alone.bytes);
      expect(together[i]?.error).toBeCloseTo(alone.error, 3);
      expect(together[i]?.outputError).toBeCloseTo(alone.outputError ?? 0, 3);
    }
  });

  it.each(all)('of $method $variant $then is planned beforehand to the last byte', async (one) => {
    const statistics = computeStatistics(randomRows(40, 50, 2));
    for (const [context, compression] of [
      [{ statistics }, one],
      [
        { statistics, dtype: 'F16', run: 'qdq', mpoRun: 'chained' },
        { ...one, setting: 64 },
      ],
    ] as const) {
      const setting = one.method === 'int8' ? one.setting : compression.setting;
      const found = await compressed(randomRows(22, 50, 1), { ...compression, setting }, context);
      const planned = plannedForm(
        { out: 22, in: 50 },
        { ...compression, setting },
        {
          ...context,
          isCalibrated: true,
        },
      );
      const shapes = mapTensors(found.encoding, ({ dtype, shape }) => ({
        dtype,
        shape: [...shape],
      }));
      expect(shapes).toEqual(planned);
      expect([found.parameters, found.bytes]).toEqual([
        encodingParameters(planned),
        formBytes(planned),
      ]);
    }
  });

  it('counts parameters and bytes exactly', async () => {
    const matrix = randomRows(24, 40, 9);
    const sizes = async (
      compression: Compression,
      context: Partial<CompressionContext> = {},
    ): Promise<number[]> => {
      const { parameters, bytes } = await compressed(matrix, compression, context);
      return [parameters, bytes];
    };
    expect(await sizes({ method: 'lowrank', setting: 5 })).toEqual([5 * 64, 5 * 64 * 4]);
    expect(await sizes({ method: 'lowrank', setting: 5 }, { dtype: 'F16' })).toEqual([320, 640]);
    // Sites 2·3·4 and 2·4·5: 2·2·4 + 4·3·4·4 + 4·4·5.
    expect(await sizes({ method: 'mpo', setting: 4 })).toEqual([288, 288 * 4]);
    expect(await sizes({ method: 'int8', setting: 0 })).toEqual([960, 960 + 24 * 4]);
    // Three blocks of 16 for 40 inputs.
    expect(await sizes({ method: 'int4', setting: 16 })).toEqual([960, 24 * 3 * (8 + 4)]);
    expect(await sizes({ method: 'int4', setting: 16, variant: 'rtn-asymmetric' })).toEqual([
      960,
      24 * 3 * (8 + 4) + 24 * 2,
    ]);
    expect(await sizes({ method: 'int8', setting: 16, variant: 'rtn' })).toEqual([
      960,
      24 * 3 * (16 + 4),
    ]);
  });

  it('reports unavailable settings, with the fix', async () => {
    const matrix = randomRows(6, 20, 7);
    const bad: [Compression, RegExp][] = [
      [{ method: 'int4', setting: 24 }, /power of two/],
      [{ method: 'int4', setting: 32, variant: 'best' }, /no variant "best"/],
      [{ method: 'int4', setting: 32, variant: 'gptq' }, /needs calibration/],
      [{ method: 'int8', setting: 0, variant: 'clip' }, /group size/],
      [{ method: 'mpo', setting: 4, then: 'int4' }, /can't quantize the results/],
      [{ method: 'mpo', setting: 4, sites: { out: [2, 2], in: [4, 5] } }, /Sites/],
    ];
    for (const [compression, message] of bad) {
      await expect(compressed(matrix, compression)).rejects.toMatchObject({
        name: 'UserError',
        message: expect.stringMatching(message) as unknown,
        subject: { field: 'layer' },
      });
    }
  });
});

describe('low rank', () => {
  it('by covariance minimizes the error of outputs, by plain that of weights', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.nat(1000), async (setting, seed) => {
        const matrix = randomRows(16, 24, seed);
        const statistics = computeStatistics(correlatedRows(100, 24, 24, seed + 1));
        const of = async (variant: string): Promise<CompressedMatrix> =>
          compressed(matrix, { method: 'lowrank', setting, variant }, { statistics });
        const [plain, scaled, covariance] = [
          await of('plain'),
          await of('scaled'),
          await of('covariance'),
        ];
        expect(covariance.outputError).toBeLessThanOrEqual((scaled.outputError ?? 0) + 1e-4);
        expect(covariance.outputError).toBeLessThanOrEqual((plain.outputError ?? 0) + 1e-4);
        expect(plain.error).toBeLessThanOrEqual(covariance.error + 1e-4);
      }),
      { numRuns: randomRuns(15, 4) },
    );
  });

  it('by covariance is lossless at the rank of the inputs, from fewer rows than inputs', async () => {
    const statistics = computeStatistics(randomRows(7, 30, 1));
    const { outputError } = await compressed(
      randomRows(20, 30, 2),
      { method: 'lowrank', setting: 7, variant: 'covariance' },
      { statistics },
    );
    expect(outputError).toBeLessThan(1e-3);
  });
});
