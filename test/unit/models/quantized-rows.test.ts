import { expect, it } from 'vitest';
import { elementCount, rowsOfTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { emitWeight } from '../../../extension/core/models/parts/weight';
import { joinPacked } from '../../../extension/core/models/quantized/packed-checkpoint';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { floatsOf, floatTensor } from '../../../extension/core/runtime/tensors';
import { quantizedCases, quantizedFixture } from '../quantized-fixtures';

/** A weight as float32. */
async function floatsOfWeight(tensor: LazyTensor): Promise<Float32Array> {
  const graph = new GraphBuilder('weight');
  const one = graph.input('one', DataType.FLOAT, [1]);
  const product = graph.op('Mul', [emitWeight(graph, tensor), one]);
  graph.output('weight', product, DataType.FLOAT, tensor.shape);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const outputs = await session.run({ one: floatTensor(Float32Array.of(1), [1]) });
  const floats = Float32Array.from(floatsOf(outputs, 'weight'));
  await session.release();
  return floats;
}

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
