import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import {
  emitExampleLosses,
  GradientNormScorer,
} from '../../../extension/core/datadiet/scores/gradient-norm-scorer';
import { openModel } from '../../../extension/core/models/open-model';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { int64Tensor, outputTensor } from '../../../extension/core/runtime/tensors';
import type { Tensors } from '../../../extension/core/runtime/tensors';
import { backward } from '../../../extension/core/training/backward';
import { openTrainableOnnx } from '../../../extension/core/training/onnx-trainable';
import type { TrainableModel } from '../../../extension/core/training/trainable-model';
import { trainableTransformer } from '../../../extension/core/training/trainable-transformer';
import { fixture } from '../fixtures';
import { below, readGolden, startingFrom, trainingFixture } from '../training/golden';
import { goldenModels } from '../training/golden-models';
import { product, Random } from '../training/random';

/** Example `i` of a batch, as a batch of one. */
function only(batch: Tensors, i: number): Tensors {
  return Object.fromEntries(
    Object.entries(batch).map(([name, { type, dims, data }]) => {
      const [count = 1, ...rest] = dims;
      const numbers = data as Float32Array | BigInt64Array;
      const size = numbers.length / count;
      return [name, new Tensor(type, numbers.slice(i * size, (i + 1) * size), [1, ...rest])];
    }),
  );
}

/** ‖∇ℓ‖ of each example from its own backward pass, in float64 from there on. */
async function materialised(
  model: TrainableModel,
  batch: Tensors,
  values: Tensors,
): Promise<number[]> {
  const { graph, output } = model.forward('evaluate');
  const losses = emitExampleLosses(graph, output);
  const total = graph.op('ReduceSum', [losses.value], { keepdims: 0 });
  const names = model.parameters.map(({ name }) => name);
  const gradients = backward(graph, total, names);
  names.forEach((name, i) => {
    graph.output(`gradient_${i}`, gradients.get(name) ?? '', DataType.FLOAT);
  });
  const session = await createSession(graph, { device: 'cpu', prepack: true });
  const count = batch['labels']?.dims[0] ?? 0;
  const norms: number[] = [];
  for (let i = 0; i < count; i++) {
    const all: Tensors = { ...values, ...only(batch, i) };
    const feeds = session.inputNames.flatMap((name) => {
      const value = all[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const outputs = await session.run(Object.fromEntries(feeds));
    const squares = names.map((_, place) =>
      (outputTensor(outputs, `gradient_${place}`).data as Float32Array).reduce(
        (sum, g) => sum + g * g,
        0,
      ),
    );
    norms.push(Math.sqrt(squares.reduce((sum, square) => sum + square, 0)));
  }
  await session.release();
  return norms;
}

async function expectEqual(model: TrainableModel, batch: Tensors): Promise<void> {
  const values = await model.initial();
  const scorer = await GradientNormScorer.create(model);
  const scores = await scorer.score(batch, (name) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for ${name}`);
    return value;
  });
  await scorer.dispose();
  const expected = await materialised(model, batch, values);
  expect(expected.length).toBeGreaterThan(1);
  expect(new Set(expected).size).toBe(expected.length);
  expect(scores).toHaveLength(expected.length);
  expected.forEach((norm, i) => {
    expect(Math.abs((scores[i] ?? Number.NaN) / norm - 1), `example ${i}`).toBeLessThan(2e-5);
  });
}

describe('GraNd equals materialised gradients', () => {
  it.each(Object.keys(goldenModels))('%s', async (name) => {
    const built = goldenModels[name]?.();
    if (built === undefined) throw new Error('no such model');
    const golden = await readGolden(name);
    const batch = below(golden, 'input/');
    // A label of none makes a gradient of none, whose relative error says nothing.
    const labels = Array.from((batch['labels']?.data ?? []) as BigInt64Array, Number);
    const dims = batch['labels']?.dims ?? [];
    const known = dims.length === 1 ? labels.map((label) => Math.max(0, label)) : labels;
    await expectEqual(startingFrom(built, below(golden, 'parameter/')), {
      ...batch,
      labels: int64Tensor(known, dims),
    });
  });

  it('an ONNX file', async () => {
    const { x, labels } = below(await readGolden('cnn'), 'input/');
    if (x === undefined || labels === undefined) throw new Error('no inputs');
    await expectEqual(await openTrainableOnnx(trainingFixture('cnn.onnx')), { x, labels });
  });

  it.each([
    ['few rows, by Gram matrices', 2, 6],
    ['many rows, materialised', 9, 3],
  ] as const)('a product over %s', async (_, rows, width) => {
    const random = new Random(rows);
    const floats = (...shape: number[]): Tensor =>
      new Tensor('float32', Float32Array.from(random.normals(product(shape))), shape);
    const shape = [width, width];
    const model: TrainableModel = {
      parameters: [{ name: 'w', shape }],
      buffers: [],
      inputs: ['x'],
      initial: async () => Promise.resolve({ w: floats(...shape) }),
      forward: () => {
        const graph = new GraphBuilder('product');
        const x = graph.input('x', DataType.FLOAT, ['batch', rows, width]);
        const w = graph.input('w', DataType.FLOAT, shape);
        const squashed = graph.op('Tanh', [graph.op('MatMul', [x, w])]);
        const value = graph.reduce('ReduceMean', squashed, [1], 0);
        return { graph, output: { value, shape: ['batch', width] }, buffers: {} };
      },
    };
    const fixed = await model.initial();
    await expectEqual(
      { ...model, initial: async () => Promise.resolve(fixed) },
      {
        x: floats(3, rows, width),
        labels: int64Tensor([0, 2, 1], [3]),
      },
    );
  });

  it.each(['llama-gqa-untied', 'qwen2'])('language model %s', async (name) => {
    const model = trainableTransformer(await openModel(fixture(name)));
    const golden = await readGolden('llama-gqa-untied');
    const [batch = 0, length = 0] = golden['input/input_ids']?.dims ?? [];
    const positions = Array.from({ length: batch * length }, (_, i) => i % length);
    const ids = Array.from(
      (golden['input/input_ids']?.data ?? []) as BigInt64Array,
      (id) => Number(id) % 64,
    );
    const next = ids.map((_, i) => (i % length === length - 1 ? -100 : (ids[i + 1] ?? 0)));
    await expectEqual(model, {
      input_ids: int64Tensor(ids, [batch, length]),
      labels: int64Tensor(next, [batch, length]),
      attention_mask: int64Tensor(
        positions.map(() => 1),
        [batch, length],
      ),
      position_ids: int64Tensor(positions, [batch, length]),
    });
  });
});
