import { seededRandom, shuffle } from '../../data/random';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { floatsIn } from '../../runtime/tensors';
import type { Tensor, Tensors } from '../../runtime/tensors';
import type { BuiltModel } from '../../training/built-model';
import { stepKey } from '../../training/dropout';
import { binaryCrossEntropy, lossInputs } from '../../training/losses';
import { Trainer } from '../../training/trainer';
import type { RavenSplit, RavenSplits } from '../raven/splits';
import { imageInput } from './network';

/** Accuracies of a network, 0 to 1. */
export interface NetworkMetrics {
  /** Running accuracy during training, each batch before its update. */
  readonly training: number;
  /** Accuracy of the trained network on the training data. */
  readonly train: number;
  readonly validation: number;
  readonly test: number;
}

/** Settings of the training of a network. */
export interface TrainingPlan {
  readonly epochs: number;
  /** Seed of the order of examples and of dropout. */
  readonly seed: number;
}

const batchSize = 8;
/** Examples per evaluation batch. */
const evaluationBatch = 100;

/** Number of updates of a network. */
export const trainingSteps = (examples: number, epochs: number): number =>
  epochs * Math.ceil(examples / batchSize);

/**
 * Trains a network like arXiv 2303.03340's released code: binary cross-entropy, Adam, and a learning rate of 10⁻³ that
 * is halved on plateaus of the batch loss. Uses one thread, so seed and data determine the result.
 * @returns its accuracies, and its weights by name
 * @throws UserError if the loss isn't finite, CancelledError
 */
export async function trainNetwork(
  network: BuiltModel,
  { train, validation, test }: RavenSplits,
  { epochs, seed }: TrainingPlan,
  hooks: { readonly cancellation: Cancellation; readonly step?: (steps: number) => void },
): Promise<{ metrics: NetworkMetrics; weights: Tensors }> {
  const trainer = await Trainer.create(network, {
    loss: binaryCrossEntropy,
    optimizer: { kind: 'adam' },
    learningRate: {
      rate: 1e-3,
      schedule: { kind: 'plateau', factor: 0.5, patience: 50, threshold: 1e-4, cooldown: 15 },
    },
    seed,
    threads: 1,
    withOutput: true,
  });
  try {
    let right = 0;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = shuffle(indices(train.size), seededRandom(stepKey(seed, epoch)));
      for (const examples of batches(order, batchSize)) {
        await checkpoint(hooks.cancellation);
        const { images, labels } = train.batch(examples);
        const batch = { [imageInput]: images, [lossInputs.targets]: labels };
        const { loss, output } = await trainer.train(batch);
        trainer.observe(loss);
        right += output === undefined ? 0 : countCorrect(output, labels);
        hooks.step?.(trainer.steps);
      }
    }
    const accuracy = async (split: RavenSplit): Promise<number> =>
      measureAccuracy(trainer, split, hooks.cancellation);
    const metrics = {
      training: right / Math.max(1, epochs * train.size),
      train: await accuracy(train),
      validation: await accuracy(validation),
      test: await accuracy(test),
    };
    const weights = trainer.parameterNames.map((name) => [name, trainer.tensor(name)] as const);
    return { metrics, weights: Object.fromEntries(weights) };
  } finally {
    await trainer.dispose();
  }
}

async function measureAccuracy(
  trainer: Trainer,
  split: RavenSplit,
  cancellation: Cancellation,
): Promise<number> {
  let right = 0;
  for (const examples of batches(indices(split.size), evaluationBatch)) {
    await checkpoint(cancellation);
    const { images, labels } = split.batch(examples);
    right += countCorrect(await trainer.evaluate({ [imageInput]: images }), labels);
  }
  return right / Math.max(1, split.size);
}

/** Number of correct predictions. */
function countCorrect(logits: Tensor, labels: Tensor): number {
  const truth = floatsIn(labels);
  return floatsIn(logits).filter((logit, i) => logit > 0 === (truth[i] ?? 0) > 0.5).length;
}

const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function batches(examples: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.ceil(examples.length / size) }, (_, i) =>
    examples.slice(i * size, (i + 1) * size),
  );
}
