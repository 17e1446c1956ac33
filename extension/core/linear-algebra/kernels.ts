import { wasmModule } from '../web-assembly';
import type { WasmMemory } from '../web-assembly';
import { kernelsBytes } from './kernels-bytes';

/** Exports of kernels.as. Pointers are in bytes. */
interface Exports {
  readonly memory: WasmMemory;
  readonly shares: { readonly value: number };
  readonly roundStep: (
    step: number,
    rows: number,
    targets: number,
    weights: number,
    factors: number,
    scales: number,
    zeros: number,
    apart: number,
    low: number,
    high: number,
    errors: number,
    numbers: number,
    panel: number,
  ) => void;
  readonly roundGroup: (
    step: number,
    rows: number,
    trials: number,
    targets: number,
    weights: number,
    factors: number,
    scales: number,
    offsets: number,
    low: number,
    high: number,
    book: number,
    importance: number,
    errors: number,
    numbers: number,
    costs: number,
    panel: number,
  ) => void;
  readonly fitScales: (
    count: number,
    rows: number,
    half: number,
    isAsymmetric: boolean,
    searches: boolean,
    values: number,
    costs: number,
    scales: number,
    zeros: number,
    blocks: number,
  ) => void;
  readonly cholesky: (size: number, a: number) => number;
  readonly invertLower: (size: number, lower: number, inverse: number) => void;
  readonly tridiagonalize: (
    size: number,
    a: number,
    off: number,
    factors: number,
    room: number,
  ) => void;
}

type Numbers = Float32Array | Float64Array | Uint8Array;

const create = wasmModule(kernelsBytes) as () => Exports;
const [pageBytes, lineBytes] = [65_536, 64];

/** Columns of a matrix that are processed together. */
interface Columns {
  readonly width: number;
  readonly start: number;
  readonly end: number;
  /** Floats per line in WebAssembly memory, including padding. */
  readonly padded: number;
}

/**
 * Allocates the buffers of one call in an instance's memory. Create views only after all allocations: growing detaches
 * them.
 */
class Room {
  private end = lineBytes;

  public constructor(private readonly wasm: Exports) {}

  /** Allocates bytes and returns their address. */
  public take(bytes: number): number {
    const { memory } = this.wasm;
    const at = this.end;
    this.end += Math.ceil(bytes / lineBytes) * lineBytes;
    const missing = this.end - memory.buffer.byteLength;
    if (missing > 0) {
      memory.grow(Math.ceil(missing / pageBytes));
    }
    return at;
  }

  public put(numbers: Numbers): number {
    const at = this.take(numbers.byteLength);
    this.bytes(at, numbers.byteLength).set(
      new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength),
    );
    return at;
  }

  /** Copies columns `start` to `end` of a matrix [lines, width] to a buffer [lines, padded]. */
  public putColumns(at: number, from: Float32Array, { width, start, end, padded }: Columns): void {
    const lines = from.length / width;
    const to = this.floats(at, lines * padded);
    for (let i = 0; i < lines; i++) {
      to.set(from.subarray(i * width + start, i * width + end), i * padded);
    }
  }

  public bytes(at: number, count: number): Uint8Array {
    return new Uint8Array(this.wasm.memory.buffer, at, count);
  }

  public floats(at: number, count: number): Float32Array {
    return new Float32Array(this.wasm.memory.buffer, at, count);
  }

  public doubles(at: number, count: number): Float64Array {
    return new Float64Array(this.wasm.memory.buffer, at, count);
  }
}

/** Instance for small inputs; larger ones create their own instance, which frees its memory with it. */
const shared = create();

/** Fractions of a block's range that the search for its scale tries; more of them lower errors by less than 0.1 %. */
const shares = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6];
new Float64Array(shared.memory.buffer, shared.shares.value, shares.length).set(shares);

/** Elements processed per call, and rows per vector step. */
const [mostNumbers, vector] = [1 << 18, 16];

/** Calls `work` with ranges of rows, of `step` elements each, and with the padded length of a range. */
function forEachRange(
  rows: number,
  step: number,
  work: (start: number, end: number, padded: number) => void,
): void {
  const most = Math.max(1, Math.floor(mostNumbers / step / vector)) * vector;
  for (let start = 0; start < rows; start += most) {
    const end = Math.min(rows, start + most);
    work(start, end, Math.ceil((end - start) / vector) * vector);
  }
}

/** Inputs of a matrix whose weights are rounded together; matrices are [step, rows]. */
export interface RoundedStep {
  readonly step: number;
  readonly rows: number;
  /** Values to round. */
  readonly targets: Float32Array;
  /** Weights that errors are measured against. */
  readonly weights: Float32Array;
  /** [step, step]: change of the target of input j per error of a later input k. */
  readonly factors?: Float32Array;
  /** A weight is (q − zero) · scale; scales and zeros are per row, or per input and row. */
  readonly scales: Float32Array;
  readonly zeros: Float32Array;
  /** Smallest and largest integer. */
  readonly range: readonly [number, number];
  /** Receives weights minus dequantized weights. */
  readonly errors?: Float32Array;
  /** Receives the integers, as bytes. */
  readonly numbers: Uint8Array;
}

/** Rounds the inputs of a step from the last to the first, in float32. */
export function roundStep(all: RoundedStep): void {
  const { step, rows, targets, weights, factors, scales, zeros, range, errors, numbers } = all;
  const grids = scales.length / rows;
  forEachRange(rows, step, (start, end, padded) => {
    const room = new Room(shared);
    const count = step * padded;
    const places = [count, count, grids * padded, grids * padded, count].map((of) =>
      room.take(of * Float32Array.BYTES_PER_ELEMENT),
    );
    const [target = 0, weight = 0, scale = 0, zero = 0, error = 0] = places;
    const number = room.take(count);
    const panel = room.take(step * vector * Float32Array.BYTES_PER_ELEMENT);
    const factor = factors === undefined ? 0 : room.put(factors);
    const columns = { width: rows, start, end, padded };
    room.putColumns(target, targets, columns);
    room.putColumns(weight, weights, columns);
    room.putColumns(scale, scales, columns);
    room.putColumns(zero, zeros, columns);
    const apart = grids === 1 ? 0 : padded * Float32Array.BYTES_PER_ELEMENT;
    shared.roundStep(
      ...([step, padded, target, weight, factor, scale, zero, apart] as const),
      ...([...range, error, number, panel] as const),
    );
    const [foundErrors, foundNumbers] = [room.floats(error, count), room.bytes(number, count)];
    for (let i = 0; i < step; i++) {
      const [from, to] = [i * padded, i * padded + end - start];
      errors?.set(foundErrors.subarray(from, to), i * rows + start);
      numbers.set(foundNumbers.subarray(from, to), i * rows + start);
    }
  });
}

/** Group of inputs whose weights are rounded with several scales per row; matrices are [step, rows]. */
export interface RoundedGroup {
  readonly step: number;
  readonly rows: number;
  /** Values to round. */
  readonly targets: Float32Array;
  /** Weights that errors are measured against. */
  readonly weights: Float32Array;
  /** [step, step]: change of the target of input j per error of a later input k. */
  readonly factors: Float32Array;
  /** A weight is scale · q + offset: [trials, rows] each. */
  readonly scales: Float32Array;
  readonly offsets: Float32Array;
  /** Smallest and largest q; codes are numbered from the smallest. */
  readonly range: readonly [number, number];
  /** Code book instead of integers: its lowest value, then the boundaries and the increments of the other values. */
  readonly book?: Float32Array;
  /** Weight of the squared error of each input: [step]. */
  readonly importance: Float32Array;
  /** Receives weights minus rounded weights of each row's best trial. */
  readonly errors: Float32Array;
  /** Receives the codes of the best trial, as bytes [step, rows]. */
  readonly numbers: Uint8Array;
  /** Receives the index of the best trial: [rows]. */
  readonly best: Uint8Array;
}

/** Rounds the inputs of a group from the last to the first with each trial, and stores each row's best. */
export function roundGroup(all: RoundedGroup): void {
  const { step, rows, targets, weights, scales, offsets, range, book, best } = all;
  const trials = scales.length / rows;
  const size = Float32Array.BYTES_PER_ELEMENT;
  forEachRange(rows, step * trials, (start, end, padded) => {
    const room = new Room(shared);
    const count = step * padded;
    const [factor, importance] = [room.put(all.factors), room.put(all.importance)];
    const bookAt = book === undefined ? 0 : room.put(book);
    const [target, weight] = [room.take(count * size), room.take(count * size)];
    const [scale, offset, cost] = [0, 0, 0].map(() => room.take(trials * padded * size)) as [
      number,
      number,
      number,
    ];
    const [error, number] = [room.take(trials * count * size), room.take(trials * count)];
    const panel = room.take(step * vector * size);
    const columns = { width: rows, start, end, padded };
    room.putColumns(target, targets, columns);
    room.putColumns(weight, weights, columns);
    room.putColumns(scale, scales, columns);
    room.putColumns(offset, offsets, columns);
    shared.roundGroup(
      ...([step, padded, trials, target, weight, factor, scale, offset] as const),
      ...([...range, bookAt, importance, error, number, cost, panel] as const),
    );
    const costs = room.floats(cost, trials * padded);
    const [errors, numbers] = [
      room.floats(error, trials * count),
      room.bytes(number, trials * count),
    ];
    for (let row = 0; row < end - start; row++) {
      let own = 0;
      for (let trial = 1; trial < trials; trial++) {
        if ((costs[trial * padded + row] ?? 0) < (costs[own * padded + row] ?? 0)) {
          own = trial;
        }
      }
      best[start + row] = own;
      for (let i = 0, at = own * count + row; i < step; i++, at += padded) {
        all.errors[i * rows + start + row] = errors[at] ?? 0;
        all.numbers[i * rows + start + row] = numbers[at] ?? 0;
      }
    }
  });
}

/** Quantization blocks of `count` weights, one per row. */
export interface Blocks {
  readonly count: number;
  readonly rows: number;
  /** [count, rows] */
  readonly values: Float32Array;
  /** Weight of each element's squared error. */
  readonly costs: Float64Array;
  /** Zero point of a symmetric grid: half of its integers. */
  readonly half: number;
  readonly isAsymmetric: boolean;
  readonly searches: boolean;
  /** [rows] each; receive the result. */
  readonly scales: Float32Array;
  readonly zeros: Float32Array;
}

/** Finds scales and zeros of quantization blocks, in float64. */
export function fitScales(all: Blocks): void {
  const { count, rows, values, costs, half, isAsymmetric, searches, scales, zeros } = all;
  forEachRange(rows, count, (start, end, padded) => {
    const room = new Room(shared);
    const size = padded * Float32Array.BYTES_PER_ELEMENT;
    const [value, scale, zero] = [room.take(count * size), room.take(size), room.take(size)];
    const cost = room.put(costs);
    const blocks = room.take(2 * count * Float64Array.BYTES_PER_ELEMENT);
    const to = room.floats(value, count * padded);
    for (let i = 0; i < count; i++) {
      to.set(values.subarray(i * rows + start, i * rows + end), i * padded);
    }
    shared.fitScales(
      ...([count, padded, half, isAsymmetric, searches] as const),
      ...([value, cost, scale, zero, blocks] as const),
    );
    scales.set(room.floats(scale, end - start), start);
    zeros.set(room.floats(zero, end - start), start);
  });
}

/** Replaces the lower triangle of a matrix by its Cholesky factor; false if it isn't positive definite. */
export function choleskyInPlace(size: number, numbers: Float64Array): boolean {
  const room = new Room(shared);
  const at = room.put(numbers);
  const isDefinite = shared.cholesky(size, at) !== 0;
  numbers.set(room.doubles(at, numbers.length));
  return isDefinite;
}

/** L⁻¹ of a lower triangular matrix. */
export function invertLowerTriangle(size: number, lower: Float64Array): Float64Array {
  const room = new Room(shared);
  const [from, to] = [room.put(lower), room.take(lower.byteLength)];
  const inverse = room.doubles(to, lower.length);
  shared.invertLower(size, from, inverse.fill(0).byteOffset);
  return inverse.slice();
}

/** Rows above which a matrix gets its own instance. */
const mostShared = 1024;

/**
 * Householder reduction of a matrix [size, size]. Reads and overwrites the lower triangle: afterwards row k holds
 * reflection k from element k + 1 on, and the diagonal is that of T.
 * @param off receives the off-diagonal of T, [size]
 * @param factors receives the factors of the reflections, [size]
 */
export function reduceToTridiagonal(
  size: number,
  numbers: Float64Array,
  off: Float64Array,
  factors: Float64Array,
): void {
  const wasm = size > mostShared ? create() : shared;
  const room = new Room(wasm);
  const [a, offAt, factorsAt] = [room.put(numbers), room.put(off), room.put(factors)];
  wasm.tridiagonalize(size, a, offAt, factorsAt, room.take(4 * off.byteLength));
  numbers.set(room.doubles(a, numbers.length));
  off.set(room.doubles(offAt, size));
  factors.set(room.doubles(factorsAt, size));
}
