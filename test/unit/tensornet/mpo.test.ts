import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import {
  bondFor,
  bondSizes,
  contract,
  countParameters,
  factorize,
  tensorize,
} from '../../../extension/core/tensornet/mpo';
import type { Mpo, SiteSizes } from '../../../extension/core/tensornet/mpo';
import { randomRuns } from '../sample';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

function randomMatrix(count: number, length: number, seed: number): Rows {
  const random = seededRandom(seed);
  const numbers = Float32Array.from({ length: count * length }, () => standardNormal(random));
  return { count, length, numbers };
}

function distance(a: Rows, b: Rows): number {
  return Math.hypot(...a.numbers.map((value, i) => value - (b.numbers[i] ?? 0)));
}

/** The sum over all bonds, index by index: W[o, i] = Π cores. */
function entry({ sites, cores }: Mpo, row: number, column: number): number {
  let [rowRest, columnRest] = [row, column];
  const rows: number[] = [];
  const columns: number[] = [];
  for (let k = sites.out.length - 1; k >= 0; k--) {
    const [out = 1, input = 1] = [sites.out[k], sites.in[k]];
    rows.unshift(rowRest % out);
    columns.unshift(columnRest % input);
    rowRest = Math.floor(rowRest / out);
    columnRest = Math.floor(columnRest / input);
  }
  let vector = [1];
  cores.forEach(({ shape: [left, out, input, right], numbers }, k) => {
    vector = Array.from({ length: right }, (_, r) => {
      let sum = 0;
      for (let l = 0; l < left; l++) {
        const place = ((l * out + (rows[k] ?? 0)) * input + (columns[k] ?? 0)) * right + r;
        sum += (vector[l] ?? 0) * (numbers[place] ?? 0);
      }
      return sum;
    });
  });
  return vector[0] ?? Number.NaN;
}

describe('sites', () => {
  it.each([
    [4096, 3, [16, 16, 16]],
    [11008, 3, [16, 16, 43]],
    [216, 3, [6, 6, 6]],
    [192, 2, [12, 16]],
    [320, 2, [16, 20]],
    [7, 2, [1, 7]],
    [49152, 2, [192, 256]],
  ])('of %i, %i of them, are %j', (size, count, expected) => {
    expect(factorize(size, count)).toEqual(expected);
  });

  it('have the parameters of the paper: 2·36χ + 36χ² for 216 × 216 on three', () => {
    const sites = { out: [6, 6, 6], in: [6, 6, 6] };
    for (const bond of [1, 5, 36]) {
      expect(countParameters(sites, bond)).toBe(2 * 36 * bond + 36 * bond ** 2);
    }
    expect(bondSizes(sites, 100)).toEqual([36, 36]);
  });

  it('find the bond of a budget: χ = 80 keeps 10.01 % of 4096 × 4096', () => {
    const sites = { out: [16, 16, 16], in: [16, 16, 16] };
    const parameters = 512 * 80 + 256 * 80 ** 2;
    expect(countParameters(sites, 80)).toBe(parameters);
    expect(bondFor(sites, parameters)).toBe(80);
    expect(bondFor(sites, parameters - 1)).toBe(79);
    expect(bondFor(sites, 700)).toBeUndefined();
  });
});

const tensorizedAt = async (matrix: Rows, sites: SiteSizes, bond: number): Promise<Mpo> => {
  const at = await tensorize(products, 'matrix', matrix, sites, bond);
  return at(bond);
};

describe('a matrix product operator', () => {
  it('with whole bonds is the matrix, on any sites', async () => {
    const size = fc.integer({ min: 1, max: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(size, size), { minLength: 2, maxLength: 4 }),
        fc.nat(1000),
        async (pairs, seed) => {
          const sites = { out: pairs.map(([out]) => out), in: pairs.map(([, input]) => input) };
          const product = (sizes: number[]): number => sizes.reduce((a, b) => a * b, 1);
          const matrix = randomMatrix(product(sites.out), product(sites.in), seed);
          const mpo = await tensorizedAt(matrix, sites, 1000);
          const back = await contract(products, mpo);
          expect([back.count, back.length]).toEqual([matrix.count, matrix.length]);
          const norm = Math.hypot(...matrix.numbers);
          expect(distance(back, matrix)).toBeLessThan(1e-4 * norm);
          expect(mpo.cores.reduce((sum, { numbers }) => sum + numbers.length, 0)).toBe(
            countParameters(sites, 1000),
          );
        },
      ),
      { numRuns: randomRuns(15, 4) },
    );
  });

  it('contracts by its definition', async () => {
    const matrix = randomMatrix(12, 18, 3);
    const sites = { out: [2, 3, 2], in: [3, 2, 3] };
    const mpo = await tensorizedAt(matrix, sites, 4);
    const { numbers } = await contract(products, mpo);
    for (let row = 0; row < 12; row++) {
      for (let column = 0; column < 18; column++) {
        expect(numbers[row * 18 + column]).toBeCloseTo(entry(mpo, row, column), 4);
      }
    }
  });

  it('is closer with a larger bond dimension, within the truncated weight', async () => {
    const matrix = randomMatrix(36, 36, 9);
    const sites = { out: [6, 6], in: [6, 6] };
    const errors: number[] = [];
    const at = await tensorize(products, 'matrix', matrix, sites, 36);
    for (const bond of [1, 4, 12, 30, 36]) {
      const mpo = await at(bond);
      const error = distance(await contract(products, mpo), matrix);
      expect(error).toBeLessThan(Math.sqrt(mpo.droppedSquares) + 1e-2);
      errors.push(error);
    }
    expect(errors).toEqual([...errors].sort((a, b) => b - a));
  });

  it('finds a Kronecker product with a bond of one', async () => {
    const [a, b] = [randomMatrix(3, 5, 1), randomMatrix(4, 2, 2)];
    const numbers = new Float32Array(12 * 10);
    for (let row = 0; row < 12; row++) {
      for (let column = 0; column < 10; column++) {
        numbers[row * 10 + column] =
          (a.numbers[Math.floor(row / 4) * 5 + Math.floor(column / 2)] ?? 0) *
          (b.numbers[(row % 4) * 2 + (column % 2)] ?? 0);
      }
    }
    const matrix = { count: 12, length: 10, numbers };
    const mpo = await tensorizedAt(matrix, { out: [3, 4], in: [5, 2] }, 1);
    expect(distance(await contract(products, mpo), matrix)).toBeLessThan(1e-4);
  });

  it('refuses sites that do not fit, naming the matrix', async () => {
    const matrix = randomMatrix(4, 6, 0);
    await expect(
      tensorize(products, 'q_proj', matrix, { out: [2, 2], in: [2, 2] }, 2),
    ).rejects.toMatchObject({ subject: { field: 'q_proj' } });
    await expect(
      tensorize(products, 'q_proj', matrix, { out: [2, 2], in: [2, 3] }, 0),
    ).rejects.toMatchObject({ subject: { field: 'q_proj' } });
  });
});
