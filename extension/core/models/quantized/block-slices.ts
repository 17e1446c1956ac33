import type { CodeBook } from '../../checkpoints/code-books';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';

/** Slices of quantized blocks: a row per block. */
export class Blocks {
  public constructor(
    public readonly graph: GraphBuilder,
    private readonly view: (type: DataType) => Value,
  ) {}

  /** Bytes [blocks, to − from], uint8. */
  public bytes(from: number, to: number): Value {
    return this.slice(DataType.UINT8, from, to);
  }

  /** Bytes as signed integers [blocks, to − from], float32. */
  public signed(from: number, to: number): Value {
    return this.toFloat(this.slice(DataType.INT8, from, to));
  }

  /** The float16 number at `byte` [blocks, 1], widened to float32. */
  public half(byte: number): Value {
    return this.toFloat(this.slice(DataType.FLOAT16, byte / 2, byte / 2 + 1));
  }

  /**
   * Unpacks integers of `bits` bits. Each group of `width` bytes has first all fields at `shifts[0]`, then those at
   * `shifts[1]`, …: float32 [blocks, …shape].
   */
  public fields(
    bytes: Value,
    width: number,
    shifts: readonly number[],
    bits: number,
    shape: readonly number[],
  ): Value {
    const { graph } = this;
    const groups = graph.op('Reshape', [bytes, graph.ints([0, -1, 1, width])]);
    const moved = graph.op(
      'BitShift',
      [groups, graph.bytes(shifts, [1, 1, shifts.length, 1])],
      right,
    );
    return this.shaped(this.toFloat(this.low(moved, bits)), shape);
  }

  /** The lowest `bits` of each byte, by pushing the others out. */
  public low(bytes: Value, bits: number): Value {
    const { graph } = this;
    const count = graph.bytes([8 - bits], [1]);
    return graph.op('BitShift', [graph.op('BitShift', [bytes, count], left), count], right);
  }

  /** Each byte without its lowest `count` bits, float32. */
  public high(bytes: Value, count: number): Value {
    return this.toFloat(this.graph.op('BitShift', [bytes, this.graph.bytes([count], [1])], right));
  }

  public toFloat(x: Value): Value {
    return this.graph.op('Cast', [x], { to: DataType.FLOAT });
  }

  public shaped(x: Value, shape: readonly number[]): Value {
    return this.graph.op('Reshape', [x, this.graph.ints([0, ...shape])]);
  }

  public add(a: Value, b: Value): Value {
    return this.graph.op('Add', [a, b]);
  }

  public multiply(a: Value, b: Value): Value {
    return this.graph.op('Mul', [a, b]);
  }

  public subtract(a: Value, b: Value | number): Value {
    return this.graph.op('Sub', [a, typeof b === 'number' ? this.graph.scalar(b) : b]);
  }

  /** low + high · 2^bits, exact since all are small integers. */
  public join(low: Value, high: Value, bits: number): Value {
    return this.add(low, this.multiply(high, this.graph.scalar(2 ** bits)));
  }

  /** 1 − 2 · bit for each bit of the bytes, the lowest first: float32 [blocks, …shape]. */
  public signs(bytes: Value, shape: readonly number[]): Value {
    const bits = this.fields(bytes, 1, everyBit, 1, shape);
    return this.subtract(this.graph.scalar(1), this.multiply(this.graph.scalar(2), bits));
  }

  /** Rows of a book by their numbers, float32 [blocks, n] → float32 [blocks, …shape]. */
  public rows(book: CodeBook, numbers: Value, shape: readonly number[]): Value {
    const { graph } = this;
    const low = Math.min(...book.values);
    const stored = Array.from(book.values, (value) => value - low);
    const table = graph.bytes(stored, [book.rows, book.width]);
    const found = graph.op('Gather', [table, this.toIndex(numbers)]);
    return this.shaped(this.subtract(this.toFloat(found), -low), shape);
  }

  /** The numbers of a table that float32 numbers choose, in their shape. */
  public chosen(table: readonly number[], numbers: Value): Value {
    const { graph } = this;
    return graph.op('Gather', [graph.floats(table, [table.length]), this.toIndex(numbers)]);
  }

  /** Little-endian words of `width` bytes each, int64 [blocks, words]. */
  public words(bytes: Value, width: number): Value {
    const { graph } = this;
    const groups = graph.op('Reshape', [this.toIndex(bytes), graph.ints([0, -1, width])]);
    const weights = graph.ints(Array.from({ length: width }, (_, i) => 256 ** i));
    return graph.reduce('ReduceSum', graph.op('Mul', [groups, weights]), [2], 0);
  }

  /** Fields of `bits` bits at `shifts` of each word: float32 [blocks, …shape]. */
  public wordFields(
    words: Value,
    shifts: readonly number[],
    bits: number,
    shape: readonly number[],
  ): Value {
    const { graph } = this;
    const moved = graph.op('Div', [
      graph.op('Unsqueeze', [words, graph.ints([2])]),
      graph.ints(shifts.map((shift) => 2 ** shift)),
    ]);
    return this.shaped(this.toFloat(graph.op('Mod', [moved, graph.ints([2 ** bits])])), shape);
  }

  /** Bytes `from` to `to` (exclusive) of each group of `width` bytes, uint8 [blocks, …]. */
  public within(bytes: Value, width: number, from: number, to: number): Value {
    const { graph } = this;
    const groups = graph.op('Reshape', [bytes, graph.ints([0, -1, width])]);
    const slice = graph.op('Slice', [groups, ...[[from], [to], [2]].map((at) => graph.ints(at))]);
    return graph.op('Reshape', [slice, graph.ints([0, -1])]);
  }

  private toIndex(x: Value): Value {
    return this.graph.op('Cast', [x], { to: DataType.INT64 });
  }

  private slice(type: DataType, from: number, to: number): Value {
    const { graph } = this;
    return graph.op('Slice', [
      this.view(type),
      graph.ints([from]),
      graph.ints([to]),
      graph.ints([1]),
    ]);
  }
}

const left = { direction: 'LEFT' };
const right = { direction: 'RIGHT' };
/** Shifts of the bits of a byte. */
export const everyBit = [0, 1, 2, 3, 4, 5, 6, 7];
/** Shifts of the two-bit values of a byte. */
export const everyPair = [0, 2, 4, 6];
/** Shifts of the nibbles of a byte. */
export const bothNibbles = [0, 4];
