import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { floatsToHalves } from '../../../extension/core/checkpoints/half';
import { floatsInFile } from '../../../extension/core/checkpoints/read-tensor';
import type { TensorData } from '../../../extension/core/checkpoints/lazy-tensor';
import { storeTensors } from '../../../extension/core/models/encodings/store-encodings';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

it('reads stored float matrices directly, and leaves others to graphs', async () => {
  const numbers = Float32Array.of(1.5, -0.375, 2 ** -130, 0, Number.NaN, Number.NEGATIVE_INFINITY);
  const exact = new Uint8Array(numbers.buffer);
  // The upper halves of the bits.
  const upper = Uint8Array.from(exact).filter((_, i) => i % 4 > 1);
  const matrix = (dtype: TensorData['dtype'], bytes: Uint8Array, name: string = dtype) => ({
    name,
    data: { dtype, shape: [2, 3], bytes },
  });
  const stored = await storeTensors(join(folder, 'floats.safetensors'), [
    matrix('F16', upper, 'BF16'),
    matrix('F16', new Uint8Array(floatsToHalves(numbers).buffer)),
    matrix('I8', new Uint8Array(6)),
    matrix('F32', exact),
  ]);
  const read = async (name: string, more: object = {}) => {
    const tensor = stored.get(name);
    return tensor && floatsInFile({ ...tensor, ...more });
  };
  expect(await read('F32')).toEqual(numbers);
  expect(await read('BF16', { dtype: 'BF16' })).toEqual(numbers);
  expect(await read('F16')).toEqual(Float32Array.from(numbers, (x) => (x === 2 ** -130 ? 0 : x)));
  expect(await read('I8')).toBeUndefined();
  expect(await read('F32', { interleavedHeads: 1 })).toBeUndefined();
  expect(await read('F32', { inline: exact })).toBeUndefined();
});

it('rejects a file that was truncated after opening instead of reading zeros', async () => {
  const file = join(folder, 'short.bin');
  writeFileSync(file, new Uint8Array(10));
  const tensor = {
    ...{ name: 'x', file, dtype: 'F32' as const },
    shape: [2, 3],
    offset: 0,
    length: 24,
  };
  await expect(floatsInFile(tensor)).rejects.toThrow(
    /short\.bin: x: The file became shorter while it was being read\. Download it again\./,
  );
});
