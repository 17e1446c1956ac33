import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readChosenRows, readFloatRows } from '../../../extension/core/checkpoints/float-rows';
import { ggmlBlock, dequantizedDTypes } from '../../../extension/core/checkpoints/ggml-types';
import { hasFloatRows } from '../../../extension/core/checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import { blockDecoders } from '../../../extension/core/checkpoints/quantize/block-decoders';
import { dequantize, roundRows } from '../../../extension/core/checkpoints/quantize/dequantize';
import { seededRandom } from '../../../extension/core/data/random';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-dequantize-'));
});
afterAll(async () => rm(folder, { recursive: true }));

const random = seededRandom(7);
const randomBytes = (count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => Math.floor(random() * 256)));

/** Numbers as bits; NaN has one pattern. */
const toBits = (numbers: ArrayLike<number>): Uint32Array =>
  new Uint32Array(Float32Array.from(numbers, (x) => (Number.isNaN(x) ? Number.NaN : x)).buffer);

describe('dequantize', () => {
  it.each(dequantizedDTypes)('%s equals the reference decoder bit for bit', (dtype) => {
    const { bytes, elements } = ggmlBlock(dtype);
    // More than one call of a kernel.
    const count = Math.ceil(70_000 / bytes);
    const blocks = randomBytes(count * bytes);
    const numbers = new Float32Array(count * elements);
    dequantize(dtype, blocks, numbers);
    const expected = new Float64Array(count * elements);
    for (let i = 0; i < count; i++) {
      blockDecoders[dtype](blocks, i * bytes, expected, i * elements);
    }
    // Comparing arrays of this size number by number takes seconds.
    const [found, wanted] = [toBits(numbers), toBits(expected)];
    expect(found.findIndex((bits, i) => bits !== wanted[i])).toBe(-1);
  });
});

describe('readFloatRows', () => {
  const tensor = (rest: Partial<LazyTensor>): LazyTensor => ({
    ...{
      name: 'w',
      dtype: 'F32',
      shape: [4, 2],
      file: join(folder, 'w.bin'),
      offset: 4,
      length: 32,
    },
    ...rest,
  });
  const makeRows = async (one: LazyTensor): Promise<number[][]> => {
    const rows: number[][] = [];
    await readFloatRows(one, (row, numbers) => {
      rows[row] = [...numbers];
    });
    return rows;
  };

  it('reads float32 from an offset, and puts interleaved heads in order', async () => {
    const numbers = Float32Array.from({ length: 8 }, (_, i) => i);
    await writeFile(
      join(folder, 'w.bin'),
      Buffer.concat([Buffer.alloc(4), Buffer.from(numbers.buffer)]),
    );
    expect(await makeRows(tensor({}))).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
    ]);
    // One head of four rows, stored 0, half, 1, half + 1.
    expect(await makeRows(tensor({ interleavedHeads: 1 }))).toEqual([
      [0, 1],
      [4, 5],
      [2, 3],
      [6, 7],
    ]);
  });

  it('widens half precision', async () => {
    const file = join(folder, 'half.bin');
    await writeFile(file, Buffer.from(Uint16Array.of(0x3c00, 0xc000, 0x3f80, 0xc000).buffer));
    const half = { file, offset: 0, shape: [1, 2], length: 4 };
    expect(await makeRows(tensor({ ...half, dtype: 'F16' }))).toEqual([[1, -2]]);
    expect(await makeRows(tensor({ ...half, dtype: 'BF16', offset: 4 }))).toEqual([[1, -2]]);
  });

  it('names the file and the tensor if the file is too short', async () => {
    const file = join(folder, 'short.bin');
    await writeFile(file, Buffer.alloc(20));
    await expect(makeRows(tensor({ file }))).rejects.toMatchObject({
      subject: { file, field: 'w' },
    });
  });

  it('does not read vectors or integers', () => {
    expect(hasFloatRows(tensor({}))).toBe(true);
    expect(hasFloatRows(tensor({ dtype: 'Q4_K' }))).toBe(true);
    expect(hasFloatRows(tensor({ shape: [8] }))).toBe(false);
    expect(hasFloatRows(tensor({ dtype: 'I32' }))).toBe(false);
  });
});

describe('readChosenRows', () => {
  it.each(['F32', 'BF16', 'Q8_0', 'Q4_K'] as const)(
    'reads chosen rows of %s, near and far apart',
    async (dtype) => {
      const [rows, columns] = [3000, 256];
      const { bytes, elements } =
        dtype === 'F32' || dtype === 'BF16'
          ? { bytes: dtype === 'F32' ? 4 : 2, elements: 1 }
          : ggmlBlock(dtype);
      const length = (rows * columns * bytes) / elements;
      const file = join(folder, `chosen-${dtype}.bin`);
      await writeFile(file, randomBytes(length + 8));
      const tensor: LazyTensor = {
        ...{ name: 'w', dtype, shape: [rows, columns], file },
        offset: 8,
        length,
      };
      const all: number[][] = [];
      await readFloatRows(tensor, (row, numbers) => {
        all[row] = [...numbers];
      });
      const chosen = Int32Array.of(0, 1, 2, 40, 41, 1000, 1017, 1018, 2900, rows - 1);
      const found: number[][] = [];
      await readChosenRows(tensor, chosen, (place, numbers) => {
        found[place] = [...numbers];
      });
      expect(found).toEqual(Array.from(chosen, (row) => all[row]));
    },
  );

  it('reads none', async () => {
    const file = join(folder, 'none.bin');
    await writeFile(file, Buffer.alloc(8));
    const tensor: LazyTensor = {
      ...{ name: 'w', dtype: 'F32', shape: [1, 2], file },
      offset: 0,
      length: 8,
    };
    await readChosenRows(tensor, new Int32Array(), () => expect.unreachable());
  });

  it('names the file and the tensor if the file is too short', async () => {
    const file = join(folder, 'cut.bin');
    await writeFile(file, Buffer.alloc(20));
    const tensor: LazyTensor = {
      ...{ name: 'w', dtype: 'F32', shape: [4, 2], file },
      offset: 0,
      length: 32,
    };
    await expect(readChosenRows(tensor, Int32Array.of(3), () => undefined)).rejects.toMatchObject({
      subject: { file, field: 'w' },
    });
  });
});

describe('roundRows', () => {
  it('rounds each row to int8 by its largest number, transposed', async () => {
    const [out, columns] = [3, 70];
    const rows = Array.from({ length: out }, (_, o) =>
      Float32Array.from({ length: columns }, () => (o === 1 ? 0 : random() - 0.5)),
    );
    const integers = new Uint8Array(out * columns);
    const scales = await roundRows(
      { out, in: columns },
      async (take) => {
        rows.forEach((numbers, i) => {
          take(i, numbers);
        });
        return Promise.resolve();
      },
      integers,
    );
    const signed = new Int8Array(integers.buffer);
    rows.forEach((row, o) => {
      const largest = Math.max(...row.map(Math.abs));
      expect(scales[o]).toBe(Math.fround(largest / 127));
      row.forEach((x, i) => {
        const value = (scales[o] ?? 0) * (signed[i * out + o] ?? 0);
        expect(Math.abs(value - x)).toBeLessThanOrEqual((scales[o] ?? 0) * 0.500_01);
      });
    });
  });
});
