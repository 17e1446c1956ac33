import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  elementCount,
  hasFloatRows,
  tensorPart,
  sliceRows,
} from '../../../extension/core/checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import { readSafetensorsHeader } from '../../../extension/core/checkpoints/safetensors';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { joinPacked } from '../../../extension/core/models/quantized/packed-checkpoint';
import { computeLogits } from '../export/pruning';
import { quantizedCases, quantizedFixture } from '../quantized-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { floatsFromNodes, weightFloats } from './floats-of-weight';

const temporary = temporaryFolder();

async function packedTensors(name: string): Promise<LazyTensor[]> {
  const { headers, model } = await openModelFiles(quantizedFixture(name));
  const { quantization } = model.summary;
  if (headers.format !== 'safetensors' || quantization === undefined) {
    throw new Error('a quantized folder');
  }
  const { tensors } = await joinPacked(headers.checkpoint, quantization);
  const packed = [...tensors.values()].filter((one) => one.packed !== undefined);
  expect(packed.length).toBeGreaterThan(1);
  return packed;
}

const toBits = ({ buffer }: Float32Array): Uint32Array => new Uint32Array(buffer);

// Stacks of experts in MXFP4 are read one by one.
const matrices = quantizedCases.filter((name) => name !== 'mxfp4');
it.each(matrices)('reads rows of a matrix of %s like the whole matrix', async (name) => {
  const packed = await packedTensors(name);
  for (const tensor of packed.slice(0, 2)) {
    const [count = 1, ...rest] = tensor.shape;
    const [from, to] = [Math.floor(count / 4), Math.floor(count / 2)];
    const each = elementCount(rest);
    const part = await weightFloats(sliceRows(sliceRows(tensor, 1, count), from, to));
    const whole = await weightFloats(tensor);
    expect(part).toEqual(whole.subarray((from + 1) * each, (to + 1) * each));
  }
});

it.each(quantizedCases)('rows of %s are decoded to the bits that nodes compute', async (name) => {
  const packed = await packedTensors(name);
  const matrices = packed.flatMap((tensor) =>
    tensor.shape.length === 2 ? [tensor] : [tensorPart(tensor, 0), tensorPart(tensor, 1)],
  );
  for (const tensor of matrices.slice(0, 3)) {
    expect(hasFloatRows(tensor)).toBe(true);
    const [count = 0] = tensor.shape;
    for (const one of [tensor, sliceRows(tensor, 1, count - 1)]) {
      expect(toBits(await weightFloats(one))).toEqual(toBits(await floatsFromNodes(one)));
    }
  }
});

it('a group that does not exist is an error that names the tensor', async () => {
  const folder = join(temporary, 'wrong-group');
  cpSync(quantizedFixture('gptq-4-act-order'), folder, { recursive: true });
  const path = join(folder, 'model.safetensors');
  const { tensors } = await readSafetensorsHeader(path);
  const index = tensors.find(({ name }) => name.endsWith('g_idx'));
  const bytes = readFileSync(path);
  bytes.writeInt32LE(1000, index?.offset ?? 0);
  writeFileSync(path, bytes);
  const reading = computeLogits(folder, [[1, 2, 3]]);
  await expect(reading).rejects.toFailWith({
    code: 'quantization-group-invalid',
    file: 'model.safetensors',
    field: 'model.layers.0.mlp.down_proj.g_idx',
  });
  await expect(reading).rejects.toMatchObject({
    subject: { field: index?.name },
  });
});

it('nodes that decode a weight are placed right before its first use', () => {
  const graph = new GraphBuilder('two');
  let x = graph.input('x', DataType.FLOAT, [1]);
  for (const name of ['a', 'b']) {
    const weight = graph.computedWeight({
      ...{
        name,
        dataType: DataType.FLOAT,
        shape: [1],
        bytes: 4,
        source: async () => Promise.resolve(),
      },
      emit: (nodes) => nodes.op('Neg', [nodes.floats([1], [1])]),
    });
    x = graph.op('Mul', [x, weight]);
  }
  graph.output('y', x, DataType.FLOAT, [1]);
  const types = graph.graph.node.map(({ opType }) => opType);
  expect(types).toEqual(['Neg', 'Mul', 'Neg', 'Mul', 'Identity']);
});
