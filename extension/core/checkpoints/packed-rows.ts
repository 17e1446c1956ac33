import { say } from '../message';
import { UserError } from '../user-error';
import type { CodeOrder, Grid, LazyTensor, PackedMatrix, PackedWeight } from './lazy-tensor';
import { floatReaders, readBytes } from './read-tensor';
import { smallFloatValues } from './half';

/** Rows `top` to `bottom` and columns `left` to `right` of a matrix, both ends exclusive. */
interface Tile {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** Fills `out`, [bottom − top, right − left], with the values of a tile. */
type TileReader = (tile: Tile, out: Float32Array) => void;

/** A tensor that is read; the parts of a packed weight are small next to the weight as float32. */
type StoredPart = Pick<LazyTensor, 'name' | 'dtype' | 'shape' | 'file' | 'offset' | 'length'>;

const wordBits = 32;
/** Number of values decoded per step. */
const numbersAtOnce = 1 << 18;
/** Fewest columns that are decoded at once, if rows of the weight are columns of the matrix. */
const leastColumns = 16;

/**
 * Reads a packed weight row by row as float32, with the same arithmetic, and therefore the same bits, as the nodes
 * emitted by `unpack.ts`.
 * @param take receives the index and the values of each row; the array is reused
 */
export async function readPackedRows(
  { shape, packed }: { readonly shape: readonly number[]; readonly packed: PackedWeight },
  take: (row: number, numbers: Float32Array) => void,
): Promise<void> {
  const [count = 0, columns = 0] = shape;
  const { matrix, isTransposed, rows: [start] = [0] } = packed;
  const read = await openMatrix(matrix);
  const isFlat = !isTransposed && matrix.shape[1] !== columns;
  const least = isTransposed ? leastColumns : 1;
  const perTile = Math.min(count, Math.max(least, Math.floor(numbersAtOnce / columns)));
  const numbers = new Float32Array(perTile * columns);
  const row = new Float32Array(columns);
  for (let first = 0; first < count; first += perTile) {
    const rowCount = Math.min(perTile, count - first);
    const [from, to] = [start + first, start + first + rowCount];
    if (isTransposed) {
      read({ top: 0, bottom: columns, left: from, right: to }, numbers);
    } else if (isFlat) {
      read({ top: 0, bottom: 1, left: from * columns, right: to * columns }, numbers);
    } else {
      read({ top: from, bottom: to, left: 0, right: columns }, numbers);
    }
    for (let i = 0; i < rowCount; i++) {
      if (isTransposed) {
        for (let column = 0; column < columns; column++) {
          row[column] = numbers[column * rowCount + i] ?? 0;
        }
        take(first + i, row);
      } else {
        take(first + i, numbers.subarray(i * columns, (i + 1) * columns));
      }
    }
  }
}

/** (codes − minus) · times / over + plus, in this order. */
async function openMatrix(matrix: PackedMatrix): Promise<TileReader> {
  const { minus, times, over, plus } = matrix;
  const read = await openNumbers(matrix);
  const steps = [
    await openStep('minus', minus, matrix),
    await openStep('times', times, matrix),
    await openStep('over', over, matrix),
    await openStep('plus', plus, matrix),
  ];
  return (tile, out) => {
    read(tile, out);
    steps.forEach((step) => step?.(tile, out));
  };
}

async function openNumbers({ tensor, codes, shape, stored }: PackedMatrix): Promise<TileReader> {
  const rowLength = stored ?? shape[1];
  if (codes === undefined) {
    const floats = await readFloatPart(tensor);
    return tileReader((row, left, right, out, to) => {
      out.set(floats.subarray(row * rowLength + left, row * rowLength + right), to);
    });
  }
  const { bits, order, values } = codes;
  const words = new Uint32Array(await readPart(tensor));
  const readCodes =
    order === 'rows'
      ? downwards(words, bits, tensor.shape.at(-1) ?? 1)
      : 8 % bits === 0
        ? wordByWord(words, bits, order, rowLength)
        : bitByBit(words, bits, rowLength);
  if (values === 'unsigned') {
    return tileReader(readCodes);
  }
  const table =
    values === 'signed'
      ? Float32Array.from({ length: 256 }, (_, code) => (code << 24) >> 24)
      : typeof values === 'object'
        ? await readFloatPart(values)
        : Float32Array.from(smallFloatValues[values]);
  return tileReader((row, left, right, out, to) => {
    readCodes(row, left, right, out, to);
    for (let i = to; i < to + right - left; i++) {
      out[i] = table[out[i] ?? 0] ?? 0;
    }
  });
}

/** Writes columns `left` to `right` of a row to `out`, from `to` on. */
type RowReader = (row: number, left: number, right: number, out: Float32Array, to: number) => void;

const tileReader =
  (readRow: RowReader): TileReader =>
  ({ top, bottom, left, right }, out) => {
    for (let row = top; row < bottom; row++) {
      readRow(row, left, right, out, (row - top) * (right - left));
    }
  };

/** Codes of a word belong to rows one below the other; each column has words of its own. */
function downwards(words: Uint32Array, bits: number, columns: number): RowReader {
  const mask = 2 ** bits - 1;
  return (row, left, right, out, to) => {
    const first = Math.floor((row * bits) / wordBits) * columns;
    const shift = (row * bits) % wordBits;
    const missing = wordBits - shift;
    if (missing >= bits) {
      for (let column = left, i = to; column < right; column++, i++) {
        out[i] = ((words[first + column] ?? 0) >>> shift) & mask;
      }
      return;
    }
    for (let column = left, i = to; column < right; column++, i++) {
      const low = (words[first + column] ?? 0) >>> shift;
      out[i] = (low | ((words[first + columns + column] ?? 0) << missing)) & mask;
    }
  };
}

/** Bit at which each code of a word begins, for codes that divide a byte. */
function shiftsIn(order: Exclude<CodeOrder, 'rows'>, bits: number): readonly number[] {
  const count = wordBits / bits;
  const perByte = 8 / bits;
  return Array.from({ length: count }, (_, i) => {
    switch (order) {
      case 'columns':
        return i * bits;
      case 'high-first':
        return Math.floor(i / perByte) * 8 + (perByte - 1 - (i % perByte)) * bits;
      case 'even-first':
        return Math.floor(i / 2) * bits + (i % 2) * (wordBits / 2);
    }
  });
}

function wordByWord(
  words: Uint32Array,
  bits: number,
  order: Exclude<CodeOrder, 'rows'>,
  rowLength: number,
): RowReader {
  const mask = 2 ** bits - 1;
  const shifts = Uint8Array.from(shiftsIn(order, bits));
  const perWord = shifts.length;
  return (row, left, right, out, to) => {
    const first = row * rowLength + left;
    let word = Math.floor(first / perWord);
    let place = first % perWord;
    for (let i = to; i < to + right - left; i++) {
      out[i] = ((words[word] ?? 0) >>> (shifts[place] ?? 0)) & mask;
      place += 1;
      if (place === perWord) {
        place = 0;
        word += 1;
      }
    }
  };
}

/** Codes that follow each other without regard to bytes, the lowest bits first. */
function bitByBit(words: Uint32Array, bits: number, rowLength: number): RowReader {
  const mask = 2 ** bits - 1;
  return (row, left, right, out, to) => {
    for (let column = left, i = to; column < right; column++, i++) {
      const at = (row * rowLength + column) * bits;
      const word = Math.floor(at / wordBits);
      const shift = at % wordBits;
      const missing = wordBits - shift;
      let code = (words[word] ?? 0) >>> shift;
      if (missing < bits) {
        code |= (words[word + 1] ?? 0) << missing;
      }
      out[i] = code & mask;
    }
  };
}

type StepKind = 'minus' | 'times' | 'over' | 'plus';

/** Combines a tile with a number or with a grid. */
async function openStep(
  kind: StepKind,
  other: Grid | number | undefined,
  { shape }: PackedMatrix,
): Promise<TileReader | undefined> {
  if (other === undefined) {
    return undefined;
  }
  const others =
    typeof other === 'number' ? constantRow(Math.fround(other)) : await gridRows(other, shape);
  const combine = combiners[kind];
  return ({ top, bottom, left, right }, out) => {
    const width = right - left;
    const operands = new Float32Array(width);
    let known = -1;
    for (let row = top; row < bottom; row++) {
      const line = others.lineOf(row);
      if (line !== known) {
        known = line;
        others.read(line, left, right, operands, 0);
      }
      combine(out, (row - top) * width, operands);
    }
  };
}

/** Each operation is rounded to float32. */
const combiners: Readonly<
  Record<StepKind, (numbers: Float32Array, from: number, others: Float32Array) => void>
> = {
  minus: (numbers, from, others) => {
    for (let i = 0; i < others.length; i++) {
      numbers[from + i] = (numbers[from + i] ?? 0) - (others[i] ?? 0);
    }
  },
  times: (numbers, from, others) => {
    for (let i = 0; i < others.length; i++) {
      numbers[from + i] = (numbers[from + i] ?? 0) * (others[i] ?? 0);
    }
  },
  over: (numbers, from, others) => {
    for (let i = 0; i < others.length; i++) {
      numbers[from + i] = (numbers[from + i] ?? 0) / (others[i] ?? 0);
    }
  },
  plus: (numbers, from, others) => {
    for (let i = 0; i < others.length; i++) {
      numbers[from + i] = (numbers[from + i] ?? 0) + (others[i] ?? 0);
    }
  },
};

/** Operands of the rows of a matrix: rows with the same line have the same ones. */
interface OperandRows {
  readonly lineOf: (row: number) => number;
  readonly read: RowReader;
}

const constantRow = (value: number): OperandRows => ({
  lineOf: () => 0,
  read: (_line, left, right, out, to) => {
    out.fill(value, to, to + right - left);
  },
});

/** Numbers of a grid for the elements of a matrix of `shape`; lines are rows of the grid. */
async function gridRows(
  { matrix, block, groups }: Grid,
  [rows, columns]: PackedMatrix['shape'],
): Promise<OperandRows> {
  const [down, across] = matrix.shape;
  const numbers = new Float32Array(down * across);
  (await openMatrix(matrix))({ top: 0, bottom: down, left: 0, right: across }, numbers);
  const indices =
    groups === undefined ? undefined : await readGroups(groups.tensor, matrix.shape[groups.axis]);
  if (indices !== undefined && groups?.axis === 1) {
    return {
      lineOf: (row) => (down === 1 ? 0 : row),
      read: (line, left, right, out, to) => {
        for (let column = left, i = to; column < right; column++, i++) {
          out[i] = numbers[line * across + (indices[column] ?? 0)] ?? 0;
        }
      },
    };
  }
  const [high, wide] = block ?? [rows / down, columns / across];
  return {
    lineOf: indices === undefined ? (row) => Math.floor(row / high) : (row) => indices[row] ?? 0,
    read: (line, left, right, out, to) => {
      for (let column = left; column < right;) {
        const at = Math.floor(column / wide);
        const end = Math.min(right, (at + 1) * wide);
        out.fill(numbers[line * across + at] ?? 0, to + column - left, to + end - left);
        column = end;
      }
    },
  };
}

/** @throws UserError if a group doesn't exist */
async function readGroups(tensor: LazyTensor, count: number): Promise<Int32Array> {
  const bytes = await readPart(tensor);
  const indices =
    tensor.dtype === 'I64'
      ? Int32Array.from(new BigInt64Array(bytes), Number)
      : new Int32Array(bytes);
  const wrong = indices.find((index) => index < 0 || index >= count);
  if (wrong !== undefined) {
    throw new UserError(
      'quantization-group-invalid',
      say`It is in group ${wrong}, but there are ${count} groups.`,
      { file: tensor.file, field: tensor.name, remedy: say`Download it again.` },
    );
  }
  return indices;
}

async function readFloatPart(tensor: StoredPart): Promise<Float32Array> {
  const widen = floatReaders[tensor.dtype];
  if (widen === undefined) {
    throw new Error(`${tensor.name} has dtype ${tensor.dtype}, which was to be refused on opening`);
  }
  return widen(await readPart(tensor));
}

/** All bytes of a tensor, and zeros up to a whole word. */
async function readPart(tensor: StoredPart): Promise<ArrayBuffer> {
  const bytes = await readBytes(tensor, tensor.length);
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return padded.buffer;
}
