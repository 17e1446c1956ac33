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
  return new BlockRounding(products, matrix, type, factor).round();
}

/** One call of {@link roundToBlocks}. */
class BlockRounding {
  private readonly codec: BlockCodec;
  private readonly elements: number;
  private readonly blockBytes: number;
  private readonly out: number;
  private readonly inputs: number;
  /** [inputs, out] in the order of the factor, like the errors. */
  private readonly weights: Float32Array;
  private readonly errors: Float32Array;
  private readonly importance: Float32Array;

  public constructor(
    private readonly products: MatrixProducts,
    matrix: Rows,
    private readonly type: BlockType,
    private readonly factor: HessianFactor,
  ) {
    const { count: out, length: inputs } = matrix;
    [this.out, this.inputs] = [out, inputs];
    this.codec = blockCodecs[type];
    ({ elements: this.elements, bytes: this.blockBytes } = parseGgmlBlock(type));
    const columns = { count: inputs, length: out, numbers: transpose(matrix) };
    this.weights = reorderRows(columns, factor.order);
    this.errors = new Float32Array(inputs * out);
    this.importance = Float32Array.from(factor.diagonal, (x) => x ** 2);
  }

  public async round(): Promise<Uint8Array> {
    const { products, factor, out, inputs, elements, blockBytes, weights, errors } = this;
    const bytesPerRow = rowBytes(this.type, inputs);
    const written = new Uint8Array(out * bytesPerRow);
    for (let start = inputs - elements; start >= 0; start -= elements) {
      const blocks = await this.roundBlocks(start);
      const place = Math.floor((factor.order[start] ?? 0) / elements) * blockBytes;
      for (let row = 0; row < out; row++) {
        const block = blocks.subarray(row * blockBytes, (row + 1) * blockBytes);
        written.set(block, row * bytesPerRow + place);
      }
    }
    const slopes = await outputSlopes(products, weights, errors, factor, out);
    slopes.forEach((slope, row) => {
      if (1 - slope > leastShrinkage && slope > leastSlope) {
        const blocks = written.subarray(row * bytesPerRow);
        scaleRow(this.codec, blocks, inputs / elements, blockBytes, 1 / slope);
      }
    });
    return written;
  }

  /** One block of each row, from input `start` of the order. */
  private async roundBlocks(start: number): Promise<Uint8Array> {
    const { products, factor, codec, out, elements, blockBytes, weights, errors } = this;
    const end = start + elements;
    const order = factor.order.subarray(start, end);
    const targets = await roundingTargets(products, weights, errors, factor, out, start, end);
    const importance = this.importance.subarray(start, end);
    const blocks = fitBlocks(this.type, targets, out, importance, order);
    const codes = new Uint8Array(elements * out);
    for (let first = end - codec.width; first >= start; first -= codec.width) {
      const own = targets.subarray((first - start) * out, (first - start + codec.width) * out);
      const found = await this.roundGroup(first, end, own, blocks);
      for (let i = 0; i < codec.width; i++) {
        const input = (order[first - start + i] ?? 0) % elements;
        codes.set(found.subarray(i * out, (i + 1) * out), input * out);
      }
    }
    const view = new DataView(blocks.buffer);
    for (let row = 0; row < out; row++) {
      for (let i = 0; i < elements; i++) {
        codesOfBlock[i] = codes[i * out + row] ?? 0;
      }
      codec.storeCodes(view, row * blockBytes);
    }
    return blocks;
  }

  /**
   * Rounds one group of each row, from input `first` of the order, and stores its grid in the blocks.
   * @param end end of the blocks
   * @param targets [width, out], without the errors of the block's later groups
   * @returns codes [width, out]
   */
  private async roundGroup(
    first: number,
    end: number,
    targets: Float32Array,
    blocks: Uint8Array,
  ): Promise<Uint8Array> {
    const { products, factor, codec, out, elements, blockBytes, errors } = this;
    const { width } = codec;
    const last = first + width;
    if (last < end) {
      const later = errors.subarray(last * out, end * out);
      const { numbers } = await products.applyTransposed(
        {
          kind: 'numbers',
          name: 'errors',
          rows: { count: end - last, length: out, numbers: later },
        },
        {
          count: width,
          length: end - last,
          numbers: errorFactors(factor, [first, last], [last, end]),
        },
      );
      for (let i = 0; i < targets.length; i++) {
        targets[i] = (targets[i] ?? 0) + (numbers[i] ?? 0);
      }
    }
    const group = Math.floor(((factor.order[first] ?? 0) % elements) / width);
    const { scales, offsets } = trialGrids(codec, blocks, blockBytes, group);
    const numbers = new Uint8Array(width * out);
    const best = new Uint8Array(out);
    roundGroup({
      ...{ step: width, rows: out, targets },
      weights: this.weights.subarray(first * out, last * out),
      factors: errorFactors(factor, [first, last], [first, last]),
      ...{ scales, offsets, range: codec.range },
      importance: this.importance.subarray(first, last),
      ...(codec.book === undefined ? {} : { book: bookBorders(codec.book) }),
      errors: errors.subarray(first * out, last * out),
      ...{ numbers, best },
    });
    storeGrids(codec, blocks, blockBytes, group, best);
    return numbers;
  }
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
  const [outputs, lost] = [await factored(weights), await factored(errors)];
  const [squares, changes] = [new Float64Array(out), new Float64Array(out)];
  diagonal.forEach((cost, input) => {
    for (let row = 0, at = input * out; row < out; row++, at++) {
      const weighted = cost ** 2 * (outputs[at] ?? 0);
      squares[row] = (squares[row] ?? 0) + weighted * (outputs[at] ?? 0);
      changes[row] = (changes[row] ?? 0) + weighted * (lost[at] ?? 0);
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
