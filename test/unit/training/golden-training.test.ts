import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { int64Tensor } from '../../../extension/core/runtime/tensors';
import type { Tensors } from '../../../extension/core/runtime/tensors';
import { crossEntropy } from '../../../extension/core/training/losses';
import { openTrainableOnnx } from '../../../extension/core/training/onnx-trainable';
import type { OptimizerOptions } from '../../../extension/core/training/optimizers';
import { trainableTransformer } from '../../../extension/core/training/trainable-transformer';
import { Trainer } from '../../../extension/core/training/trainer';
import { fixture } from '../fixtures';
import {
  below,
  difference,
  largestValue,
  readGolden,
  startingFrom,
  trainingFixture,
} from './golden';
import { goldenModels } from './golden-models';
import { computeGradients } from './gradients-of';

/** Relative to the largest number of a tensor. PyTorch's are float64, so this is our rounding alone. */
const tolerance = 1e-5;
/**
 * Tensors that are 0 but for rounding, such as the gradient of a bias in front of a batch norm, are held
 * against this share of the largest number of all.
 */
const floor = 0.01;

function expectClose(
  actual: Tensors,
  expected: Tensors,
  names: readonly string[],
  most = tolerance,
): void {
  expect(names.length).toBeGreaterThan(0);
  const largest = Math.max(...names.map((name) => largestValue(expected[name])));
  for (const name of names) {
    const [a, b] = [actual[name], expected[name]];
    expect(a?.dims, name).toEqual(b?.dims);
    if (a !== undefined && b !== undefined) {
      expect(difference(a, b, floor * largest), name).toBeLessThan(most);
    }
  }
}

const gradientNames = (golden: Tensors): string[] =>
  Object.keys(golden).filter((name) => name.startsWith('gradient/'));

describe('gradients of whole models equal PyTorch', () => {
  it.each(Object.keys(goldenModels))('%s', async (name) => {
    const golden = await readGolden(name);
    const built = goldenModels[name]?.();
    expect(built).toBeDefined();
    if (built === undefined) return;
    const stored = Object.keys(below(golden, 'parameter/')).sort();
    const declared = [...built.parameters, ...built.buffers];
    expect(declared.map((parameter) => parameter.name).sort()).toEqual(stored);
    const model = startingFrom(built, below(golden, 'parameter/'));
    const actual = await computeGradients(model, below(golden, 'input/'));
    expectClose(actual, golden, ['loss', 'output', ...gradientNames(golden)]);
  });

  it('an ONNX file with batch norms', async () => {
    const golden = await readGolden('cnn');
    const model = await openTrainableOnnx(trainingFixture('cnn.onnx'));
    const names = [...model.parameters, ...model.buffers].map(({ name }) => name);
    expect(names.sort()).toEqual(Object.keys(below(golden, 'parameter/')).sort());
    const actual = await computeGradients(model, below(golden, 'input/'));
    expectClose(actual, golden, ['loss', 'output', ...gradientNames(golden)]);
  });

  it('a llama with grouped queries and rotary positions', async () => {
    const golden = await readGolden('llama-gqa-untied');
    const model = trainableTransformer(await openModel(fixture('llama-gqa-untied')));
    const [batch = 0, length = 0] = golden['input/input_ids']?.dims ?? [];
    const positions = Array.from({ length: batch * length }, (_, i) => i % length);
    const ones = positions.map(() => 1);
    const actual = await computeGradients(model, {
      ...below(golden, 'input/'),
      attention_mask: int64Tensor(ones, [batch, length]),
      position_ids: int64Tensor(positions, [batch, length]),
    });
    expect(model.parameters).toHaveLength(gradientNames(golden).length);
    // The rotary tables of transformers are float32 even in float64.
    expectClose(actual, golden, ['loss', ...gradientNames(golden)], 3e-5);
  });
});

const optimizers: Readonly<
  Record<string, { optimizer: OptimizerOptions; rate: number; clip?: number }>
> = {
  sgd: { optimizer: { kind: 'sgd' }, rate: 0.1 },
  momentum: { optimizer: { kind: 'sgd', momentum: 0.9, weightDecay: 0.05 }, rate: 0.1 },
  nesterov: {
    optimizer: { kind: 'sgd', momentum: 0.9, weightDecay: 0.05, nesterov: true },
    rate: 0.1,
  },
  adam: { optimizer: { kind: 'adam' }, rate: 0.01 },
  'adam-decay': {
    optimizer: { kind: 'adam', betas: [0.8, 0.95], weightDecay: 0.1 },
    rate: 0.01,
  },
  adamw: { optimizer: { kind: 'adamw', weightDecay: 0.1 }, rate: 0.01 },
  clipped: { optimizer: { kind: 'sgd' }, rate: 0.1, clip: 0.3 },
};

describe('three steps equal PyTorch', () => {
  it.each([
    ...Object.keys(optimizers).map((name) => ['mlp', name] as const),
    ['cnn', 'momentum'],
    ['resnet', 'sgd'],
    ['transformer', 'nesterov'],
  ] as const)('%s, %s', async (name, optimizerName) => {
    const golden = await readGolden(name);
    const built = goldenModels[name]?.();
    const settings = optimizers[optimizerName];
    if (built === undefined || settings === undefined) throw new Error('no such case');
    const trainer = await Trainer.create(startingFrom(built, below(golden, 'parameter/')), {
      loss: crossEntropy(),
      optimizer: settings.optimizer,
      learningRate: { rate: settings.rate },
      seed: 0,
      ...(settings.clip === undefined ? {} : { clipNorm: settings.clip }),
    });
    try {
      const batch = below(golden, 'input/');
      const { loss } = await trainer.train(batch);
      expect(loss).toBeCloseTo((golden['loss']?.data as Float32Array)[0] ?? Number.NaN, 5);
      await trainer.train(batch);
      await trainer.train(batch);
      const after = below(golden, `after/${optimizerName}/`);
      const actual = Object.fromEntries(
        Object.keys(after).map((key) => [key, trainer.tensor(key)]),
      );
      expectClose(actual, after, Object.keys(after));
    } finally {
      await trainer.dispose();
    }
  });
});
