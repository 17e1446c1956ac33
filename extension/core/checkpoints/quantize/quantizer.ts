/** Importance of the columns of a row. */
export interface ColumnImportance {
  readonly numbers: Float32Array;
  /** True if squared errors are weighted by importance alone. llama.cpp also weights them by the size of each number. */
  readonly isAlone?: boolean;
}

/** Writes the quantization blocks of a row, bit-identical to llama.cpp's quantizer for the type. */
export type RowQuantizer = (
  /** The row; a whole number of blocks. */
  x: Float32Array,
  /** Output buffer. */
  out: DataView,
  at: number,
  /** Importance of each column, where known. */
  importance?: ColumnImportance,
) => void;

/** Σ x² of a run, added one by one. */
export function sumSquares(x: Float32Array, from: number, count: number): number {
  let sum = 0;
  for (let i = from; i < from + count; i++) {
    const one = x[i] ?? 0;
    sum = Math.fround(sum + Math.fround(one * one));
  }
  return sum;
}

/** Fills `weights` with importance · √(spread + x²) of a run, or with the importance alone. */
export function weigh(
  x: Float32Array,
  { numbers, isAlone = false }: ColumnImportance,
  from: number,
  spread: number,
  weights: Float32Array,
  count: number,
): void {
  if (isAlone) {
    weights.set(numbers.subarray(from, from + count));
    return;
  }
  for (let i = 0; i < count; i++) {
    const one = x[from + i] ?? 0;
    const size = Math.fround(Math.sqrt(Math.fround(spread + Math.fround(one * one))));
    weights[i] = (numbers[from + i] ?? 0) * size;
  }
}

/** Sum of the first values of an array, added sequentially. */
export function sumValues(numbers: Float32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum = Math.fround(sum + (numbers[i] ?? 0));
  }
  return sum;
}
