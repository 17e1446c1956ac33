import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { WritableType } from '../../../extension/core/checkpoints/ggml-types';
import { convert } from '../../../extension/core/export/gguf/gguf-tensors';
import { quantizeRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import {
  singleThreadWriter,
  openRowWriter,
  RowThreads,
} from '../../../extension/core/checkpoints/quantize/row-threads';
import type { RowWriter } from '../../../extension/core/checkpoints/quantize/row-threads';
import { unattended } from '../../../extension/core/jobs/job';
import { allRows } from '../../../extension/core/models/gguf/gguf-rows';
import { buildChild } from '../build-child';
import { temporaryFolder } from '../temporary-folder';
import { randomRows } from '../tensornet/matrices';

const length = 512;
const rows = 6;
const { numbers } = randomRows(rows, length, 3);
const importance = randomRows(1, length, 4).numbers.map((one) => one * one);
const script = await buildChild('quantize');
const threads = new RowThreads(script, 2);
afterAll(async () => threads.end());

describe('rows that threads write', () => {
  it.each<WritableType>(['F16', 'BF16', 'Q8_0', 'Q4_1', 'Q2_K', 'Q4_K', 'Q6_K', 'IQ4_XS'])(
    'have the bytes of one thread as %s',
    async (type) => {
      for (const weights of [undefined, importance]) {
        const task = { type, length, importance: weights };
        // Views into more numbers, and more tasks than threads.
        const written = Array.from({ length: rows }, (_, row) => ({
          ...{ ...task, numbers: numbers.subarray(row * length, (row + 1) * length) },
        })).map(async (one) => threads.write(one));
        const expected = quantizeRows(type, numbers, length, weights);
        expect(Buffer.concat(await Promise.all(written)).equals(expected)).toBe(true);
      }
    },
  );

  it('are written in order, for a tensor that is read in several parts', async () => {
    const tall = { length: 256, count: 5000 };
    const { numbers: all } = randomRows(tall.count, tall.length, 5);
    const file = join(temporaryFolder(), 'tall.bin');
    writeFileSync(file, new Uint8Array(all.buffer));
    const tensor = {
      ...{ name: 'x', file, offset: 0, length: all.byteLength },
      ...{ dtype: 'F32' as const, shape: [tall.count, tall.length] },
    };
    const bytes = async (writer: RowWriter): Promise<Buffer> => {
      const pieces: Uint8Array[] = [];
      const source = { ...allRows(tensor), type: 'Q4_0' } as const;
      for await (const piece of convert('x', source, unattended.cancellation, writer)) {
        pieces.push(piece);
      }
      expect(pieces.length).toBeGreaterThan(8);
      return Buffer.concat(pieces);
    };
    const expected = quantizeRows('Q4_0', all, tall.length);
    expect((await bytes(threads)).equals(expected)).toBe(true);
    expect((await bytes(singleThreadWriter)).equals(expected)).toBe(true);
  });

  it('fail if a thread fails, and after they were ended', async () => {
    const broken = new RowThreads(script, 1);
    const task = { type: 'Q4_0', numbers, length, importance: undefined } as const;
    const none = { ...task, type: 'none' as WritableType };
    const written = [broken.write(none), broken.write(task)];
    for (const one of written) {
      await expect(one).rejects.toThrow('none is no type of ggml');
    }
    await expect(broken.write(task)).rejects.toThrow('none is no type of ggml');
    const ended = new RowThreads(script, 1);
    const last = expect(ended.write(task)).rejects.toThrow(
      'The thread that writes rows has ended.',
    );
    await ended.end();
    await last;
  });
});

it('small tensors are written without threads, large ones with threads if available', async () => {
  expect(openRowWriter(1000, script)).toBe(singleThreadWriter);
  expect(openRowWriter(2 ** 23, join(temporaryFolder(), 'none.js'))).toBe(singleThreadWriter);
  const writer = openRowWriter(2 ** 23, script);
  expect(writer.ahead > 0).toBe(availableParallelism() > 1);
  await writer.end();
});

it('tasks in work when threads end harm nobody', async () => {
  const tall = randomRows(5000, 256, 6);
  const file = join(temporaryFolder(), 'tall.bin');
  writeFileSync(file, new Uint8Array(tall.numbers.buffer));
  const shape = [tall.count, tall.length];
  const tensor = {
    ...{ name: 'x', file, offset: 0, length: tall.numbers.byteLength, shape },
    dtype: 'F32' as const,
  };
  const writer = new RowThreads(script, 2);
  const source = { ...allRows(tensor), type: 'Q4_K' } as const;
  const pieces = convert('x', source, unattended.cancellation, writer);
  expect((await pieces.next()).done).toBe(false);
  // Tasks are still in work; their results are nobody's.
  await writer.end();
  const rest = async (): Promise<void> => {
    while ((await pieces.next()).done !== true);
  };
  await expect(rest()).rejects.toThrow('The thread that writes rows has ended.');
});
