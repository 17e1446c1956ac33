/** Trains one of the bench's models in this process: node dist/bench-training.cjs MODEL STEPS THREADS. */
import process from 'node:process';
import { Tensor } from 'onnxruntime-node';
import type { Tensors } from '../../extension/core/runtime/tensors';
import { BuiltModel } from '../../extension/core/training/built-model';
import type { ModelInput } from '../../extension/core/training/built-model';
import {
  activation,
  attention,
  batchNorm,
  conv2d,
  dense,
  embedding,
  flatten,
  layerNorm,
  maxPool,
  residual,
  sequential,
} from '../../extension/core/training/layers';
import type { Layer } from '../../extension/core/training/layers';
import { crossEntropy } from '../../extension/core/training/losses';
import type { OptimizerOptions } from '../../extension/core/training/optimizers';
import { Trainer } from '../../extension/core/training/trainer';

interface Task {
  readonly input: ModelInput;
  readonly layers: Layer;
  readonly optimizer: OptimizerOptions;
  readonly rate: number;
  readonly batch: () => Tensors;
}

const relu = activation('relu');
const sgd: OptimizerOptions = { kind: 'sgd', momentum: 0.9, weightDecay: 5e-4 };

const floats = (...shape: number[]): Tensor => {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: size }, () => Math.random() - 0.5),
    shape,
  );
};
const integers = (below: number, ...shape: number[]): Tensor => {
  const size = shape.reduce((product, length) => product * length, 1);
  const draw = (): bigint => BigInt(Math.floor(Math.random() * below));
  return new Tensor('int64', BigInt64Array.from({ length: size }, draw), shape);
};

const block = (): Layer[] => [
  residual(sequential([layerNorm(), attention({ heads: 4, causal: true })])),
  residual(sequential([layerNorm(), dense(512), activation('gelu'), dense(128)])),
];

/** The same models are defined in pytorch.py. */
const tasks: Readonly<Record<string, Task>> = {
  mlp: {
    input: { name: 'x', shape: ['batch', 784] },
    layers: sequential([dense(256), relu, dense(256), relu, dense(10)]),
    optimizer: sgd,
    rate: 0.01,
    batch: () => ({ x: floats(128, 784), labels: integers(10, 128) }),
  },
  cnn: {
    input: { name: 'x', shape: ['batch', 1, 28, 28] },
    layers: sequential([
      ...[conv2d(32, 3, { padding: 1 }), batchNorm(), relu, maxPool(2)],
      ...[conv2d(64, 3, { padding: 1 }), batchNorm(), relu, maxPool(2)],
      ...[flatten, dense(10)],
    ]),
    optimizer: sgd,
    rate: 0.01,
    batch: () => ({ x: floats(64, 1, 28, 28), labels: integers(10, 64) }),
  },
  transformer: {
    input: { name: 'x', type: 'int64', shape: ['batch', 'sequence'] },
    layers: sequential([embedding(512, 128), ...block(), ...block(), layerNorm(), dense(512)]),
    optimizer: { kind: 'adamw' },
    rate: 3e-4,
    batch: () => ({ x: integers(512, 8, 64), labels: integers(512, 8, 64) }),
  },
};

async function main([name = '', steps = '100', threads = '1']: readonly string[]): Promise<void> {
  const task = tasks[name];
  if (task === undefined) {
    throw new Error(`no model named ${name}`);
  }
  const started = performance.now();
  const trainer = await Trainer.create(new BuiltModel(task.input, task.layers, 1), {
    loss: crossEntropy(),
    optimizer: task.optimizer,
    learningRate: { rate: task.rate },
    seed: 1,
    threads: Number(threads),
  });
  const preparing = performance.now() - started;
  const milliseconds: number[] = [];
  const batches = Array.from({ length: 4 }, task.batch);
  for (let step = 0; step < Number(steps); step++) {
    const begin = performance.now();
    await trainer.train(batches[step % batches.length] ?? {});
    milliseconds.push(performance.now() - begin);
  }
  await trainer.dispose();
  const { user, system } = process.cpuUsage();
  console.log(JSON.stringify({ milliseconds, preparing, cpuSeconds: (user + system) / 1e6 }));
}

void main(process.argv.slice(2));
