import { afterAll, describe, expect, it } from 'vitest';
import { parseGgmlBlock } from '../../../extension/core/checkpoints/ggml-types';
import { blockCodecs } from '../../../extension/core/checkpoints/quantize/block-codecs';
import type { BlockType } from '../../../extension/core/checkpoints/quantize/block-codecs';
import { dequantize } from '../../../extension/core/checkpoints/quantize/dequantize';
import { roundRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { factorHessian } from '../../../extension/core/tensornet/quantize/gptq';
import { roundToBlocks } from '../../../extension/core/tensornet/quantize/round-blocks';
import { correlatedRows, outputDistance, randomRows, computeStatistics } from './matrices';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

const types = Object.keys(blockCodecs) as BlockType[];
const length = 512;
const matrix = randomRows(20, length, 1);
const inputs = correlatedRows(600, length, 200, 2);
const { gram, count } = computeStatistics(inputs);
const meanSquares = Float32Array.from(
  { length },
  (_, i) => (gram.numbers[i * length + i] ?? 0) / count,
);

const read = (type: BlockType, bytes: Uint8Array, { count: rows }: Rows): Rows => {
  const numbers = new Float32Array(rows * length);
  dequantize(type, bytes, numbers);
  return { count: rows, length, numbers };
};

describe.each(types)('rounding to %s with error feedback', (type) => {
  it('has a smaller output error than rounding by importance, at the same size', async () => {
    const factor = await factorHessian(products, gram, false);
    const bytes = await roundToBlocks(products, matrix, type, factor);
    const { elements, bytes: blockBytes } = parseGgmlBlock(type);
    expect(bytes).toHaveLength((matrix.numbers.length / elements) * blockBytes);
    const nearest = roundRows(type, matrix.numbers, length, meanSquares);
    const found = outputDistance(inputs, matrix, read(type, bytes, matrix));
    const before = outputDistance(inputs, matrix, { ...matrix, numbers: nearest });
    expect(found).toBeLessThan(0.8 * before);
  });

  it('leaves outputs that are as large as before', async () => {
    const factor = await factorHessian(products, gram, false);
    const rounded = read(type, await roundToBlocks(products, matrix, type, factor), matrix);
    const inner = (own: Rows): number =>
      rowPairs(own).reduce((sum, [row, w]) => sum + outputsProduct(row, w), 0);
    expect(Math.abs(inner(rounded) / inner(matrix) - 1)).toBeLessThan(0.01);
  });
});

/** Rows of a matrix, each with that of the original. */
const rowPairs = (own: Rows): (readonly [Float32Array, Float32Array])[] =>
  Array.from({ length: own.count }, (_, row) => {
    const [from, to] = [row * length, (row + 1) * length];
    return [own.numbers.subarray(from, to), matrix.numbers.subarray(from, to)] as const;
  });

/** Inner product of the outputs of two rows for all inputs. */
const outputsProduct = (a: Float32Array, b: Float32Array): number =>
  a.reduce(
    (sum, x, i) => sum + x * b.reduce((t, y, j) => t + y * (gram.numbers[i * length + j] ?? 0), 0),
    0,
  );

it('rounds a matrix of zeros to zeros', async () => {
  const factor = await factorHessian(products, gram, false);
  const zeros = { count: 3, length, numbers: new Float32Array(3 * length) };
  for (const type of types) {
    const { numbers } = read(type, await roundToBlocks(products, zeros, type, factor), zeros);
    expect(numbers.every((x) => x === 0)).toBe(true);
  }
});

it('rounds to nearest, with scales fitted, if the inputs are independent', async () => {
  const identity = new Float64Array(length * length);
  for (let i = 0; i < length; i++) {
    identity[i * length + i] = 1;
  }
  const factor = await factorHessian(products, { size: length, numbers: identity }, false);
  const { numbers } = read('Q5_0', await roundToBlocks(products, matrix, 'Q5_0', factor), matrix);
  const nearest = roundRows('Q5_0', matrix.numbers, length);
  const squares = (other: Float32Array): number =>
    matrix.numbers.reduce((sum, x, i) => sum + (x - (other[i] ?? 0)) ** 2, 0);
  expect(squares(numbers)).toBeLessThan(squares(nearest));
});
