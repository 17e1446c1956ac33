import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LazyTensor } from '../../../../extension/core/checkpoints/lazy-tensor';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { roundingError } from '../../../../extension/core/export/gguf/choose-types';
import { compareLogits } from '../../../../extension/core/export/verify';
import { openModel } from '../../../../extension/core/models/open-model';
import { ggufFixture } from '../../gguf-fixtures';
import { computeLogits } from '../pruning';
import { fresh } from './family-files';

const input = Int32Array.from({ length: 20 }, (_, i) => (7 * i + 3) % 32);
const source = ggufFixture('qwen3moe.gguf');

/** Copy of the fixture in which the first two experts of each block are exchanged in the tensors `part`. */
async function exchanged(part: RegExp): Promise<string> {
  const { tensors } = await readGgufHeader(source);
  const bytes = readFileSync(source);
  let changed = 0;
  for (const { shape, offset, length } of tensors.filter((one) => part.test(one.name))) {
    const own = length / (shape[0] ?? 1);
    const first = Buffer.from(bytes.subarray(offset, offset + own));
    bytes.copy(bytes, offset, offset + own, offset + 2 * own);
    first.copy(bytes, offset + own);
    changed += 1;
  }
  expect(changed).toBeGreaterThan(1);
  const file = `${fresh()}.gguf`;
  writeFileSync(file, bytes);
  return file;
}

const check = async (
  expected: Float32Array,
  actual: Float32Array,
  error: number,
): Promise<ReturnType<typeof compareLogits>> => {
  const model = await openModel(source);
  const how = { model, input, isSameGraph: false, roundingError: error };
  return compareLogits(expected, actual, how, 'written.gguf');
};
const failure = { code: 'verification-failed', file: 'written.gguf' } as const;
const weights = { dtype: 'F32' } as LazyTensor;

describe('the check of a file with rounded experts', () => {
  // Bounds of 4 bits and fewer are larger than what exchanged experts change in this model, 0.79.
  it.each(['F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K'] as const)(
    'notices exchanged router rows and experts, also in %s',
    async (type) => {
      const expected = await computeLogits(source, [[...input]]);
      for (const part of [/ffn_gate_inp\.weight$/, /ffn_down_exps/, /ffn_(?:gate|up|down)_exps/]) {
        const actual = await computeLogits(await exchanged(part), [[...input]]);
        const checked = check(expected, actual, roundingError(weights, type));
        await expect(checked).rejects.toFailWith(failure);
      }
    },
  );

  it('accepts a tenth of the tokens at other experts only if weights were rounded', async () => {
    const expected = await computeLogits(source, [[...input]]);
    const width = expected.length / input.length;
    const withOtherRows = (count: number, value = 100): Float32Array =>
      expected.map((logit, i) => (i < count * width ? value : logit));
    const error = roundingError(weights, 'Q4_K');
    expect(await check(expected, withOtherRows(2), error)).toMatchObject({ tolerance: error });
    await expect(check(expected, withOtherRows(3), error)).rejects.toFailWith(failure);
    await expect(check(expected, withOtherRows(1), 0)).rejects.toFailWith(failure);
    await expect(check(expected, withOtherRows(1, NaN), error)).rejects.toFailWith(failure);
  });
});
