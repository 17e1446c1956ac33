import { readSync } from 'node:fs';
import { readChosenRows } from '../checkpoints/float-rows';
import { parseGgmlBlock, isDequantized, writableTypes } from '../checkpoints/ggml-types';
import type { WritableType } from '../checkpoints/ggml-types';
import { elementCount, hasFloatRows } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../checkpoints/onnx-file';
import { detectBook, detectFloat8 } from '../checkpoints/quantize/detect-book';
import { codeBits, detectGrid, significantBits } from '../checkpoints/quantize/detect-grid';
import type { WeightGrid } from '../checkpoints/quantize/detect-grid';
import { fitsRows, fittingType, roundRows } from '../checkpoints/quantize/quantizers';
import { cutShort, floatReaders } from '../checkpoints/read-tensor';
import { formatPercent } from '../format';
import { joined, say } from '../message';
import type { Message } from '../message';
import type { OpenedModel } from '../models/opened-model';
import { withRegularFile } from '../regular-file';

/** The quantization type that a model's weights have or had. */
export interface SourceGrid {
  /** A type of GGUF, integers in groups, such as `int4 in groups of 64`, or 8-bit floats, such as `FP8 (E4M3)`. */
  readonly type: string;
  /** True if the file stores the type, false if it stores floats that have been quantized before. */
  readonly isStored: boolean;
  /** Number of sampled matrices. */
  readonly matrices: number;
  /** Number of sampled matrices that have the type. */
  readonly onGrid: number;
  /** Types of GGUF that add no more than the stored dtype rounds, fewest bytes first. */
  readonly lossless: readonly WritableType[];
  /** Error that each type of GGUF adds: root mean square, relative to the weights. */
  readonly added: Readonly<Partial<Record<WritableType, number>>>;
}

const mostMatrices = 16;
const leastRows = 16;
/** Number of weights read per matrix, and the number quantized again. */
const sampledWeights = { detect: 8192, quantize: 4096 };
/** Weights of a row that are used. */
const mostColumns = 4096;
/** Errors below this count as zero: rounding to float16, or to bfloat16 if weights have its precision. */
const noError = 0.001;
const bfloat16Bits = 8;

/** Quantization types, fewest bytes first. */
const quantizationTypes = writableTypes
  .filter(isDequantized)
  .sort((a, b) => storedBits(a) - storedBits(b));

/** Bits per weight. */
function storedBits(type: WritableType): number {
  const { bytes, elements } = parseGgmlBlock(type);
  return (8 * bytes) / elements;
}

/** Rows of a matrix, and the type they are stored as. */
interface Sample {
  readonly dtype: string;
  /** Rows of `length` weights. */
  readonly weights: Float32Array;
  readonly length: number;
}

/**
 * Returns the quantization type of a model, also if it was dequantized: then blocks of weights are equally spaced, or
 * multiples of the values of a code book or of 8-bit floats.
 * Reads a few rows of a few matrices. Undefined if most matrices were not quantized, or if config.json names the method.
 * @throws UserError if a file is shorter than its header says
 */
export async function findSourceGrid({
  headers,
  summary,
}: Pick<OpenedModel, 'headers' | 'summary'>): Promise<SourceGrid | undefined> {
  if (summary.quantization !== undefined || summary.compressed !== undefined) {
    return undefined;
  }
  const all =
    headers.format === 'onnx'
      ? [...headers.graph.source.file.initializers.values()].filter(isFloatMatrix)
      : (headers.format === 'gguf'
          ? headers.header.tensors
          : [...headers.checkpoint.tensors.values()]
        ).filter((tensor) => hasFloatRows(tensor) && isLarge(tensor.shape));
  const chosen = Array.from(
    { length: Math.min(mostMatrices, all.length) },
    (_, i) => all[Math.floor(((i + 0.5) * all.length) / Math.min(mostMatrices, all.length))],
  ).filter((tensor) => tensor !== undefined);
  const found: { readonly type: string; readonly sample: Sample }[] = [];
  for (const tensor of chosen) {
    for await (const sample of samplesOf(tensor)) {
      const type = quantizationType(sample);
      if (type !== undefined) {
        found.push({ type, sample });
        break;
      }
    }
  }
  if (found.length <= chosen.length / 2) {
    return undefined;
  }
  const withType = (type: string): typeof found => found.filter((one) => one.type === type);
  const [type = ''] = found
    .map((one) => one.type)
    .sort((a, b) => withType(b).length - withType(a).length);
  const samples = withType(type).map(({ sample }) => sample);
  const added = addedErrors(samples);
  // Multiples of powers of two have fewer bits than bfloat16, and are not rounded.
  const bits = Math.max(bfloat16Bits, ...samples.map(({ weights }) => significantBits(weights)));
  const lossless = quantizationTypes.filter(
    (one) =>
      (added[one] ?? 1) <= Math.max(noError, 2 ** -bits) &&
      samples.every(({ length }) => fitsRows(one, length)),
  );
  return {
    type,
    isStored: samples.some(({ dtype }) => dtype === type),
    matrices: chosen.length,
    onGrid: samples.length,
    lossless,
    added,
  };
}

const isLarge = (shape: readonly number[]): boolean =>
  (shape.at(-1) ?? 0) >= 32 && elementCount(shape) >= leastRows * 32;

function isFloatMatrix({ dtype, dims, mappable }: OnnxInitializer): boolean {
  return mappable && dims.length === 2 && floatReaders[dtype] !== undefined && isLarge(dims);
}

/** Sample rows of a matrix. In ONNX graphs, which may store transposes, also columns. */
async function* samplesOf(tensor: LazyTensor | OnnxInitializer): AsyncGenerator<Sample> {
  if ('shape' in tensor) {
    yield await readRows(tensor);
    return;
  }
  const { name, dims, file, offset, length } = tensor;
  const dtype = tensor.dtype as LazyTensor['dtype'];
  const matrix: LazyTensor = { name, dtype, shape: dims, file, offset, length };
  yield await readRows(matrix);
  yield await readColumns(matrix);
}

async function readRows(tensor: LazyTensor): Promise<Sample> {
  const { shape, dtype } = tensor;
  const columns = shape.at(-1) ?? 1;
  const count = elementCount(shape) / columns;
  const length = Math.min(columns, mostColumns);
  const sampled = Math.min(count, Math.max(leastRows, Math.ceil(sampledWeights.detect / length)));
  const rows = Int32Array.from({ length: sampled }, (_, i) => Math.floor((i * count) / sampled));
  const weights = new Float32Array(sampled * length);
  await readChosenRows(tensor, rows, (place, numbers) => {
    weights.set(numbers.subarray(0, length), place * length);
  });
  return { dtype, weights, length };
}

/** Neighboring columns from the middle of a matrix, as rows. */
async function readColumns(tensor: LazyTensor): Promise<Sample> {
  const { shape, dtype, file, offset, length: bytes } = tensor;
  const [count = 1, columns = 1] = shape;
  const length = Math.min(count, mostColumns);
  const sampled = Math.min(columns, Math.max(leastRows, Math.ceil(sampledWeights.detect / length)));
  const elementBytes = bytes / (count * columns);
  const first = Math.floor((columns - sampled) / 2);
  const weights = new Float32Array(sampled * length);
  await withRegularFile(file, ({ handle }) => {
    const part = Buffer.from(new ArrayBuffer(sampled * elementBytes));
    for (let row = 0; row < length; row++) {
      const from = offset + (row * columns + first) * elementBytes;
      if (readSync(handle.fd, part, 0, part.length, from) < part.length) {
        throw cutShort(tensor);
      }
      floatReaders[dtype]?.(part.buffer).forEach((weight, column) => {
        weights[column * length + row] = weight;
      });
    }
    return Promise.resolve();
  });
  return { dtype, weights, length };
}

function quantizationType({ dtype, weights, length }: Sample): string | undefined {
  if (isDequantized(dtype)) {
    return dtype;
  }
  const book = detectBook(weights, length);
  if (book !== undefined) {
    return book;
  }
  const grid = detectGrid(weights, length);
  if (grid !== undefined) {
    return gridName(grid);
  }
  const float = detectFloat8(weights, length);
  return float && `FP8 (${float})`;
}

/** The type of GGUF whose blocks a grid has, or else its bits and groups. */
function gridName(grid: WeightGrid): string {
  const { isSymmetric, width, codes, distinct, hasSharedSteps } = grid;
  if (isSymmetric && width === 32) {
    const isNonlinear = codes > 16 && distinct <= 16;
    const nonlinear = hasSharedSteps ? 'IQ4_XS' : 'IQ4_NL';
    return codes <= 8 ? 'Q4_0' : codes <= 16 ? 'Q5_0' : isNonlinear ? nonlinear : 'Q8_0';
  }
  if (isSymmetric && width === 16 && codes <= 32) {
    return codes <= 4 ? 'Q3_K' : 'Q6_K';
  }
  if (!isSymmetric && width === 16 && codes <= 3) {
    return 'Q2_K';
  }
  if (!isSymmetric && width === 32 && codes <= 31) {
    return codes <= 15 ? (hasSharedSteps ? 'Q4_K' : 'Q4_1') : hasSharedSteps ? 'Q5_K' : 'Q5_1';
  }
  return `int${Math.max(2, codeBits(grid))} in groups of ${width}`;
}

/** Errors of all types; a type that can't divide rows into blocks is replaced as llama.cpp does. */
function addedErrors(samples: readonly Sample[]): SourceGrid['added'] {
  return Object.fromEntries(
    quantizationTypes.map((type) => {
      let [errors, squares] = [0, 0];
      for (const { weights, length } of samples) {
        const rows = Math.max(1, Math.floor(sampledWeights.quantize / length));
        const sampled = weights.subarray(0, rows * length);
        roundRows(fittingType(type, length), sampled, length).forEach((rounded, i) => {
          const weight = sampled[i] ?? 0;
          errors += (rounded - weight) ** 2;
          squares += weight ** 2;
        });
      }
      return [type, squares === 0 ? 0 : Math.sqrt(errors / squares)];
    }),
  );
}

/** The smallest type of GGUF that keeps the weights, or else the type that adds the least error. */
export function bestType({ lossless, added }: SourceGrid): WritableType {
  return (
    lossless[0] ??
    quantizationTypes.reduce((best, one) => ((added[one] ?? 1) < (added[best] ?? 1) ? one : best))
  );
}

/** Sentences about weights that were quantized before, and the type that keeps them. */
export function describeGrid(grid: SourceGrid): Message {
  const { type, isStored, matrices, onGrid, lossless, added } = grid;
  const best = bestType(grid);
  return joined([
    isStored
      ? say`The weights are quantized to ${type}.`
      : say`The weights were quantized before: their values are those of ${type}.`,
    onGrid === matrices
      ? undefined
      : say`This is the type of ${onGrid} of ${matrices} sampled matrices.`,
    lossless.length > 0
      ? say`${best} stores them without loss; most other types add rounding errors.`
      : say`All quantization types of GGUF add rounding errors, ${best} the smallest (${formatPercent(added[best] ?? 1)}).`,
  ]);
}
