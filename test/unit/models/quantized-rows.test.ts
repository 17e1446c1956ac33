import { expect, it } from 'vitest';
import { elementCount, rowsOfTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { joinPacked } from '../../../extension/core/models/quantized/packed-checkpoint';
import { quantizedCases, quantizedFixture } from '../quantized-fixtures';
import { floatsOfWeight } from './floats-of-weight';

// Stacks of experts in MXFP4 are read one by one.
const matrices = quantizedCases.filter((name) => name !== 'mxfp4');
it.each(matrices)('gives rows of a matrix of %s as they are in the whole', async (name) => {
  const { headers, model } = await openModelFiles(quantizedFixture(name));
  const { quantization } = model.summary;
  if (headers.format !== 'safetensors' || quantization === undefined) {
    throw new Error('a quantized folder');
  }
  const { tensors } = await joinPacked(headers.checkpoint, quantization);
  const packed = [...tensors.values()].filter((one) => one.packed !== undefined);
  expect(packed.length).toBeGreaterThan(1);
  for (const tensor of packed.slice(0, 2)) {
    const [count = 1, ...rest] = tensor.shape;
    const [from, to] = [Math.floor(count / 4), Math.floor(count / 2)];
    const each = elementCount(rest);
    const part = await floatsOfWeight(rowsOfTensor(rowsOfTensor(tensor, 1, count), from, to));
    const whole = await floatsOfWeight(tensor);
    expect(part).toEqual(whole.subarray((from + 1) * each, (to + 1) * each));
  }
});
