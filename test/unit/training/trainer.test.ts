import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Tensors } from '../../../extension/core/runtime/tensors';
import { BuiltModel } from '../../../extension/core/training/built-model';
import { flatGroups, stepGraph } from '../../../extension/core/training/train-graph';
import {
  activation,
  batchNorm,
  conv2d,
  dense,
  dropout,
  flatten,
  maxPool,
  sequential,
} from '../../../extension/core/training/layers';
import { crossEntropy, meanSquaredError } from '../../../extension/core/training/losses';
import { Trainer } from '../../../extension/core/training/trainer';
import type { TrainerOptions } from '../../../extension/core/training/trainer';
import { Random } from './random';

const convolutional = (seed = 5): BuiltModel =>
  new BuiltModel(
    { name: 'x', shape: ['batch', 1, 8, 8] },
    sequential([
      conv2d(4, 3, { padding: 1 }),
      batchNorm(),
      activation('relu'),
      maxPool(2),
      dropout(0.3),
      flatten,
      dense(3),
    ]),
    seed,
  );

const options: TrainerOptions = {
  loss: crossEntropy(),
  optimizer: { kind: 'adamw' },
  learningRate: { rate: 0.01, schedule: { kind: 'cosine', steps: 10 }, warmUpSteps: 2 },
  seed: 11,
};

function makeBatch(seed: number, size = 6): Tensors {
  const random = new Random(seed);
  const labels = Array.from({ length: size }, () => random.int(0, 2));
  return {
    x: new Tensor('float32', Float32Array.from(random.normals(size * 64)), [size, 1, 8, 8]),
    labels: new Tensor('int64', BigInt64Array.from(labels, BigInt), [size]),
  };
}

const numbers = (tensor: Tensor): number[] => Array.from(tensor.data as Float32Array);

function allTensors(trainer: Trainer, model: BuiltModel): Record<string, number[]> {
  const all = [...model.parameters, ...model.buffers].map(({ name }) => name);
  const slots = flatGroups(model.parameters, () => true).flatMap(({ parameters: [first] }) =>
    ['sum', 'squares'].map((slot) => `optimizer/${slot}/${first?.name}`),
  );
  return Object.fromEntries(
    [...all, ...slots].map((name) => [name, numbers(trainer.tensor(name))]),
  );
}

describe('Trainer', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'espalier-training-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('resumes from a checkpoint bit for bit, with dropout, schedule and accumulation', async () => {
    const accumulating = { ...options, accumulate: 2, clipNorm: 1 };
    const file = join(folder, 'half.safetensors');
    const whole = await Trainer.create(convolutional(), accumulating);
    for (let step = 0; step < 9; step++) {
      await whole.train(makeBatch(step));
      if (step === 4) {
        await whole.save(file);
      }
    }
    // Another seed for the parameters: nothing may come from the beginning.
    const resumed = await Trainer.create(convolutional(99), accumulating);
    await resumed.resume(file);
    expect(resumed.steps).toBe(2);
    for (let step = 5; step < 9; step++) {
      await resumed.train(makeBatch(step));
    }
    expect(resumed.learningRate).toBe(whole.learningRate);
    expect(allTensors(resumed, convolutional())).toEqual(allTensors(whole, convolutional()));
    await Promise.all([whole.dispose(), resumed.dispose()]);
  });

  it('rejects a checkpoint of another model and names the missing tensors', async () => {
    const file = join(folder, 'other.safetensors');
    const trainer = await Trainer.create(convolutional(), options);
    await trainer.save(file);
    const other = await Trainer.create(
      new BuiltModel({ name: 'x', shape: ['batch', 4] }, sequential([dense(3)]), 1),
      options,
    );
    await expect(other.resume(file)).rejects.toFailWith({
      code: 'tensor-mismatch',
      file: 'other.safetensors',
      field: '0.weight',
    });
    await Promise.all([trainer.dispose(), other.dispose()]);
  });

  it('learns', async () => {
    const trainer = await Trainer.create(convolutional(), {
      ...options,
      learningRate: { rate: 0.01 },
    });
    const batch = makeBatch(1, 32);
    const first = await trainer.train(batch);
    let last = first;
    for (let step = 0; step < 60; step++) {
      last = await trainer.train(batch);
    }
    expect(first.loss).toBeGreaterThan(0.9);
    expect(last.loss).toBeLessThan(0.25);
    await trainer.dispose();
  });

  it.each([false, true])(
    'puts momentum and decay of large matrices into their products, nesterov %s',
    async (nesterov) => {
      const model = (): BuiltModel =>
        new BuiltModel({ name: 'x', shape: ['batch', 80] }, sequential([dense(80), dense(2)]), 3);
      const base: TrainerOptions = {
        loss: meanSquaredError,
        optimizer: { kind: 'sgd', momentum: 0.9, weightDecay: 0.05, nesterov },
        learningRate: { rate: 0.1, schedule: { kind: 'cosine', steps: 6 } },
        seed: 0,
      };
      const products = stepGraph(model(), base).graph.graph.node.filter(
        ({ opType, name, input }) =>
          opType === 'Gemm' && name.startsWith('/update') && input.length === 3,
      );
      expect(products).toHaveLength(1);
      const random = new Random(4);
      const batch: Tensors = {
        x: new Tensor('float32', Float32Array.from(random.normals(320)), [4, 80]),
        targets: new Tensor('float32', Float32Array.from(random.normals(8)), [4, 2]),
      };
      // A gradient that is read for its norm takes its own passes.
      const [joined, apart] = [
        await Trainer.create(model(), base),
        await Trainer.create(model(), { ...base, clipNorm: 1e9 }),
      ];
      for (let step = 0; step < 4; step++) {
        await joined.train(batch);
        await apart.train(batch);
      }
      for (const name of joined.parameterNames) {
        const expected = numbers(apart.tensor(name));
        const largest = Math.max(...expected.map(Math.abs));
        numbers(joined.tensor(name)).forEach((x, i) => {
          expect(Math.abs(x - (expected[i] ?? Number.NaN)) / largest).toBeLessThan(1e-6);
        });
      }
      await Promise.all([joined.dispose(), apart.dispose()]);
    },
  );

  it('averages accumulated gradients: two halves are one batch', async () => {
    const model = (): BuiltModel =>
      new BuiltModel({ name: 'x', shape: ['batch', 3] }, sequential([dense(4), dense(2)]), 3);
    const base: TrainerOptions = {
      loss: meanSquaredError,
      optimizer: { kind: 'sgd', momentum: 0.9 },
      learningRate: { rate: 0.1 },
      seed: 0,
      clipNorm: 0.5,
    };
    const random = new Random(4);
    const [x, y] = [random.normals(12), random.normals(8)];
    const rows = (from: number, to: number): Tensors => ({
      x: new Tensor('float32', Float32Array.from(x.slice(3 * from, 3 * to)), [to - from, 3]),
      targets: new Tensor('float32', Float32Array.from(y.slice(2 * from, 2 * to)), [to - from, 2]),
    });
    const [once, halves] = [
      await Trainer.create(model(), base),
      await Trainer.create(model(), { ...base, accumulate: 2 }),
    ];
    for (let step = 0; step < 3; step++) {
      const { gradientNorm } = await once.train(rows(0, 4));
      await halves.train(rows(0, 2));
      const half = await halves.train(rows(2, 4));
      expect(half.gradientNorm).toBeCloseTo(gradientNorm ?? Number.NaN, 5);
    }
    for (const { name } of model().parameters) {
      numbers(once.tensor(name)).forEach((value, i) => {
        expect(numbers(halves.tensor(name))[i]).toBeCloseTo(value, 6);
      });
    }
    await Promise.all([once.dispose(), halves.dispose()]);
  });

  it('stops at a loss that is not finite and keeps the parameters before it', async () => {
    const trainer = await Trainer.create(convolutional(), options);
    await trainer.train(makeBatch(1));
    const before = allTensors(trainer, convolutional());
    const bad = makeBatch(2);
    (bad['x']?.data as Float32Array)[7] = Number.NaN;
    await expect(trainer.train(bad)).rejects.toFailWith({ code: 'loss-not-finite' });
    expect(allTensors(trainer, convolutional())).toEqual(before);
    const { loss } = await trainer.train(makeBatch(3));
    expect(Number.isFinite(loss)).toBe(true);
    await trainer.dispose();
  });

  it('does not change frozen parameters, and evaluates without dropout', async () => {
    const trainer = await Trainer.create(convolutional(), {
      ...options,
      trains: (name) => !name.startsWith('0.'),
    });
    const [frozen, trained] = ['0.weight', '6.weight'].map((name) => numbers(trainer.tensor(name)));
    await trainer.train(makeBatch(1));
    expect(numbers(trainer.tensor('0.weight'))).toEqual(frozen);
    expect(numbers(trainer.tensor('6.weight'))).not.toEqual(trained);
    const first = numbers(await trainer.evaluate(makeBatch(2)));
    expect(numbers(await trainer.evaluate(makeBatch(2)))).toEqual(first);
    await trainer.dispose();
  });

  it('opens a session again that could not be opened', async () => {
    const trainer = await Trainer.create(convolutional(), options);
    const create = vi.spyOn(InferenceSession, 'create');
    create.mockRejectedValueOnce(new Error('no memory'));
    await expect(trainer.lossOf(makeBatch(1))).rejects.toThrow('no memory');
    expect(Number.isFinite(await trainer.lossOf(makeBatch(1)))).toBe(true);
    create.mockRejectedValueOnce(new Error('no memory'));
    await expect(trainer.evaluate(makeBatch(1))).rejects.toThrow('no memory');
    create.mockRestore();
    await trainer.dispose();
  });
});
