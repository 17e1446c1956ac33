import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { backward } from '../../../extension/core/training/backward';
import {
  binaryCrossEntropy,
  crossEntropy,
  distillation,
  meanSquaredError,
  relativeSquaredError,
  softCrossEntropy,
} from '../../../extension/core/training/losses';
import type { Loss } from '../../../extension/core/training/losses';
import { tensorOf } from '../../../extension/core/runtime/tensors';
import { below, difference, readGolden } from './golden';

const losses: Readonly<Record<string, Loss>> = {
  'cross-entropy': crossEntropy({ ignore: -1 }),
  soft: softCrossEntropy,
  binary: binaryCrossEntropy,
  squared: meanSquaredError,
  distillation: distillation(2.5),
};

it.each(Object.entries(losses))('%s equals PyTorch, value and gradient', async (name, loss) => {
  const golden = await readGolden('losses');
  const graph = new GraphBuilder('loss');
  const shape = ['batch', 'sequence', 6];
  const logits = graph.input('logits', DataType.FLOAT, shape);
  const value = loss(graph, { value: logits, shape });
  graph.output('loss', value, DataType.FLOAT, []);
  const gradient = backward(graph, value, [logits]).get(logits) ?? '';
  graph.output('gradient', gradient, DataType.FLOAT, shape);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const inputs = below(golden, 'input/');
  const feeds = session.inputNames.flatMap((input) => {
    const tensor = inputs[input];
    return tensor === undefined ? [] : [[input, tensor] as const];
  });
  const outputs = await session.run(Object.fromEntries(feeds));
  for (const part of ['loss', 'gradient']) {
    const expected = golden[`${part}/${name}`];
    expect(expected).toBeDefined();
    if (expected !== undefined) {
      expect(difference(tensorOf(outputs, part), expected, 1e-6), part).toBeLessThan(3e-6);
    }
  }
  await session.release();
});

it('a batch of which nothing counts has no loss and no gradient', async () => {
  const graph = new GraphBuilder('loss');
  const logits = graph.input('logits', DataType.FLOAT, [2, 3]);
  const value = crossEntropy()(graph, { value: logits, shape: [2, 3] });
  graph.output('loss', value, DataType.FLOAT, []);
  graph.output(
    'gradient',
    backward(graph, value, [logits]).get(logits) ?? '',
    DataType.FLOAT,
    [2, 3],
  );
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const { Tensor } = await import('onnxruntime-node');
  const outputs = await session.run({
    logits: new Tensor('float32', Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
    labels: new Tensor('int64', BigInt64Array.of(-100n, -100n), [2]),
  });
  expect(Array.from(tensorOf(outputs, 'loss').data as Float32Array, Math.abs)).toEqual([0]);
  expect(Array.from(tensorOf(outputs, 'gradient').data as Float32Array, Math.abs)).toEqual([
    0, 0, 0, 0, 0, 0,
  ]);
  await session.release();
});

it('the relative error of a row does not depend on its norm', async () => {
  const graph = new GraphBuilder('loss');
  const output = graph.input('output', DataType.FLOAT, [2, 2]);
  const value = relativeSquaredError(graph, { value: output, shape: [2, 2] });
  graph.output('loss', value, DataType.FLOAT, []);
  const gradient = backward(graph, value, [output]).get(output) ?? '';
  graph.output('gradient', gradient, DataType.FLOAT, [2, 2]);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const { Tensor } = await import('onnxruntime-node');
  // Differences (1, 1) of (3, 4) and (0, 1000) of (3000, 4000).
  const outputs = await session.run({
    output: new Tensor('float32', Float32Array.of(4, 5, 3000, 5000), [2, 2]),
    targets: new Tensor('float32', Float32Array.of(3, 4, 3000, 4000), [2, 2]),
  });
  const [loss] = tensorOf(outputs, 'loss').data as Float32Array;
  expect(loss).toBeCloseTo((2 / 25 + 1 / 25) / 2, 6);
  // 2 (ŷ − y) / ‖y‖² / rows
  const gradients = Array.from(tensorOf(outputs, 'gradient').data as Float32Array);
  [0.04, 0.04, 0, 4e-5].forEach((expected, i) => {
    expect(gradients[i]).toBeCloseTo(expected, 7);
  });
  await session.release();
});
