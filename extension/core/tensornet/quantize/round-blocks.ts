import { parseGgmlBlock } from '../../checkpoints/ggml-types';
import { halfToNumber, numberToHalf } from '../../checkpoints/half';
import { blockCodecs } from '../../checkpoints/quantize/block-codecs';
import type { BlockCodec, BlockType, GroupGrid } from '../../checkpoints/quantize/block-codecs';
import { fitRow, rowBytes } from '../../checkpoints/quantize/quantizers';
import { numbers as codesOfBlock } from '../../checkpoints/quantize/search';
import { roundGroup } from '../../linear-algebra/kernels';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { transpose } from '../tensor-values';
import { reorderRows, errorFactors, roundingTargets } from './gptq';
import type { HessianFactor } from './gptq';

/**
 * Quantizes the rows of a matrix [out, in] to a GGUF type, one input after another with error feedback as in
 * roundCompensating. The scales of a quantization block are fitted to its corrected weights, and those of each group
 * are changed if another trial of the codec has a smaller error. At last, the scales of each row are multiplied by the
 * factor that makes its outputs unbiased (bench/league).
 * @param factor in an order that keeps the groups and blocks of the type together
 */
export async function roundToBlocks(
  products: MatrixProducts,
  matrix: Rows,
  type: BlockType,
  factor: HessianFactor,
): Promise<Uint8Array> {
  const { order, diagonal } = factor;
  const { count: out, length: inputs } = matrix;
  const codec = blockCodecs[type];
  const { elements, bytes: blockBytes } = parseGgmlBlock(type);
  const { width } = codec;
  const weights = reorderRows({ count: inputs, length: out, numbers: transpose(matrix) }, order);
  const errors = new Float32Array(inputs * out);
  const importance = Float32Array.from(diagonal, (x) => x ** 2);
  const written = new Uint8Array(out * rowBytes(type, inputs));
  for (let start = inputs - elements; start >= 0; start -= elements) {
    const end = start + elements;
    const targets = await roundingTargets(products, weights, errors, factor, out, start, end);
    const blocks = fitBlocks(
      type,
      targets,
      out,
      importance.subarray(start, end),
      order.subarray(start, end),
    );
    const codes = new Uint8Array(elements * out);
    for (let first = end - width; first >= start; first -= width) {
      const last = first + width;
      const own = targets.subarray((first - start) * out, (last - start) * out);
      if (last < end) {
        const { numbers } = await products.applyTransposed(
          {
            kind: 'numbers',
            name: 'errors',
            rows: {
              count: end - last,
              length: out,
              numbers: errors.subarray(last * out, end * out),
            },
          },
          {
            count: width,
            length: end - last,
            numbers: errorFactors(factor, [first, last], [last, end]),
          },
        );
        for (let i = 0; i < own.length; i++) {
          own[i] = (own[i] ?? 0) + (numbers[i] ?? 0);
        }
      }
      const group = Math.floor(((order[first] ?? 0) % elements) / width);
      const { scales, offsets } = trialGrids(codec, blocks, blockBytes, group);
      const found = new Uint8Array(width * out);
      const best = new Uint8Array(out);
      roundGroup({
        ...{
          step: width,
          rows: out,
          targets: own,
          weights: weights.subarray(first * out, last * out),
        },
        factors: errorFactors(factor, [first, last], [first, last]),
        ...{ scales, offsets, range: codec.range, importance: importance.subarray(first, last) },
        ...(codec.book === undefined ? {} : { book: bookBorders(codec.book) }),
        errors: errors.subarray(first * out, last * out),
        ...{ numbers: found, best },
      });
      storeGrids(codec, blocks, blockBytes, group, best);
      for (let i = 0; i < width; i++) {
        codes.set(
          found.subarray(i * out, (i + 1) * out),
          ((order[first + i] ?? 0) % elements) * out,
        );
      }
    }
    const view = new DataView(blocks.buffer);
    const place = Math.floor((order[start] ?? 0) / elements) * blockBytes;
    for (let row = 0; row < out; row++) {
      for (let i = 0; i < elements; i++) {
        codesOfBlock[i] = codes[i * out + row] ?? 0;
      }
      codec.storeCodes(view, row * blockBytes);
      const block = blocks.subarray(row * blockBytes, (row + 1) * blockBytes);
      written.set(block, row * rowBytes(type, inputs) + place);
    }
  }
  const slopes = await outputSlopes(products, weights, errors, factor, out);
  slopes.forEach((slope, row) => {
    if (1 - slope > leastShrinkage && slope > leastSlope) {
      scaleRow(
        codec,
        written.subarray(row * rowBytes(type, inputs)),
        inputs / elements,
        blockBytes,
        1 / slope,
      );
    }
  });
  return written;
}

/** Outputs that shrink less are left alone: scales in float16 would be rounded for nothing. */
const leastShrinkage = 0.001;
/** Rows that shrink more are of no use. */
const leastSlope = 0.5;

/**
 * Slope of the regression of each rounded row's outputs on those of the original, w·H·w′ / w·H·w: less than 1, because
 * rounding with the least error shrinks what it rounds. The shrinkage of many layers adds up.
 * @param weights [inputs, out] in the order of the factor, like the errors
 */
async function outputSlopes(
  products: MatrixProducts,
  weights: Float32Array,
  errors: Float32Array,
  { diagonal, moves }: HessianFactor,
  out: number,
): Promise<Float64Array> {
  const count = diagonal.length;
  const factored = async (numbers: Float32Array): Promise<Float32Array> => {
    const rows = { count, length: out, numbers };
    const found = await products.applyTransposed(
      { kind: 'numbers', name: 'weights', rows },
      { count, length: count, numbers: moves },
    );
    return found.numbers;
  };
  const [of, change] = [await factored(weights), await factored(errors)];
  const [squares, changes] = [new Float64Array(out), new Float64Array(out)];
  diagonal.forEach((cost, input) => {
    for (let row = 0, at = input * out; row < out; row++, at++) {
      const own = cost ** 2 * (of[at] ?? 0);
      squares[row] = (squares[row] ?? 0) + own * (of[at] ?? 0);
      changes[row] = (changes[row] ?? 0) + own * (change[at] ?? 0);
    }
  });
  return squares.map((square, row) => (square === 0 ? 1 : 1 - (changes[row] ?? 0) / square));
}

/** Multiplies the scales and offsets of a row's blocks. */
function scaleRow(
  { units }: BlockCodec,
  blocks: Uint8Array,
  count: number,
  blockBytes: number,
  factor: number,
): void {
  const view = new DataView(blocks.buffer, blocks.byteOffset);
  for (let block = 0; block < count; block++) {
    for (const place of Object.values(units)) {
      const at = block * blockBytes + place;
      view.setUint16(at, numberToHalf(factor * halfToNumber(view.getUint16(at, true))), true);
    }
  }
}

/** Fits a block of each row to targets [elements, out], weighted by the importance of each input. */
function fitBlocks(
  type: BlockType,
  targets: Float32Array,
  out: number,
  importance: Float32Array,
  order: Uint32Array,
): Uint8Array {
  const count = order.length;
  const values = new Float32Array(targets.length);
  const weights = new Float32Array(targets.length);
  order.forEach((input, i) => {
    const place = input % count;
    for (let row = 0; row < out; row++) {
      values[row * count + place] = targets[i * out + row] ?? 0;
      weights[row * count + place] = importance[i] ?? 0;
    }
  });
  return fitRow(type, values, weights);
}

const grid: GroupGrid = { scale: 0, offset: 0, scaleCode: 0, offsetCode: 0 };

/** Scales and offsets of a group for all trials: [trials, rows] each. */
function trialGrids(
  { trials, tryGrid }: BlockCodec,
  blocks: Uint8Array,
  blockBytes: number,
  group: number,
): { readonly scales: Float32Array; readonly offsets: Float32Array } {
  const view = new DataView(blocks.buffer);
  const rows = blocks.length / blockBytes;
  const scales = new Float32Array(trials.length * rows);
  const offsets = new Float32Array(trials.length * rows);
  let at = 0;
  for (const trial of trials) {
    for (let row = 0; row < rows; row++, at++) {
      tryGrid(view, row * blockBytes, group, trial, grid);
      scales[at] = grid.scale;
      offsets[at] = grid.offset;
    }
  }
  return { scales, offsets };
}

/** Stores the grid of each row's best trial. */
function storeGrids(
  { trials, tryGrid, storeGrid }: BlockCodec,
  blocks: Uint8Array,
  blockBytes: number,
  group: number,
  best: Uint8Array,
): void {
  const view = new DataView(blocks.buffer);
  best.forEach((number, row) => {
    const trial = trials[number];
    if (trial !== undefined && number > 0) {
      tryGrid(view, row * blockBytes, group, trial, grid);
      storeGrid(view, row * blockBytes, group, grid);
    }
  });
}

/** Lowest value of a code book, then the boundaries and increments of the other values. */
function bookBorders(book: readonly number[]): Float32Array {
  const further = book.slice(1);
  const borders = further.map((value, i) => (value + (book[i] ?? 0)) / 2);
  const growths = further.map((value, i) => value - (book[i] ?? 0));
  return Float32Array.from([book[0] ?? 0, ...borders, ...growths]);
}
