import { existsSync } from 'node:fs';
import type { Dataset } from '../../data/datasets/dataset';
import { seededRandom, shuffle } from '../../data/random';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { floatsIn, int64Tensor } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import { readCheckpointStep } from '../../training/checkpoint';
import { crossEntropy, lossInputs } from '../../training/losses';
import { Trainer } from '../../training/trainer';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import type { ProxyModel } from './proxy-model';
import type { TrainingSettings } from './training-settings';
import { joined, say } from '../../message';
import type { Message } from '../../message';

/** Training run of a proxy model. */
export interface RunRequest {
  readonly proxy: ProxyModel;
  readonly dataset: Dataset;
  /** Class of each example; may differ from the dataset's labels. */
  readonly labels: Int32Array;
  /** Training examples. */
  readonly examples: Int32Array;
  readonly seed: number;
  /** Seed of the example order; `seed` by default. */
  readonly orderSeed?: number;
  readonly steps: number;
  readonly settings: TrainingSettings;
}

/** Callbacks and settings of a training run. */
export interface RunHooks {
  readonly cancellation: Cancellation;
  /** File to which the run is saved after every epoch, and from which it resumes. */
  readonly checkpoint?: string;
  /** Called after every step with the number of steps done. */
  readonly step?: (steps: number) => void;
  /** Called after each epoch, counted from 1, before the run is saved; may be called twice for an epoch. */
  readonly epoch?: (epoch: number, trainer: Trainer) => Promise<void>;
}

/** Batches per epoch; the last may be smaller. */
export const stepsPerEpoch = (examples: number, { batchSize }: TrainingSettings): number =>
  Math.ceil(examples / batchSize);

/**
 * Trains a proxy model. Seed, examples and settings determine the result bit by bit, even if the run was interrupted.
 * The caller disposes of the trainer.
 * @returns trainer, and seconds of its steps since it was started or resumed
 * @throws UserError if the loss is no longer finite; the last checkpoint is then kept.
 */
export async function trainRun(
  request: RunRequest,
  hooks: RunHooks,
): Promise<{ trainer: Trainer; seconds: number; steps: number }> {
  const { examples, settings, steps } = request;
  const trainer = await createTrainer(request);
  try {
    if (hooks.checkpoint !== undefined && existsSync(hooks.checkpoint)) {
      await trainer.resume(hooks.checkpoint);
    }
    const perEpoch = stepsPerEpoch(examples.length, settings);
    const before = trainer.steps;
    let seconds = 0;
    while (trainer.steps < steps) {
      const epoch = Math.floor(trainer.steps / perEpoch);
      seconds += await trainEpoch(request, trainer, epoch, perEpoch, hooks);
      await hooks.epoch?.(epoch + 1, trainer);
      const { checkpoint: file } = hooks;
      // Another process with the same training may be ahead or done: its weights are not overwritten.
      if (file !== undefined && (await readCheckpointStep(file)) < trainer.steps) {
        await trainer.save(file);
      }
    }
    return { trainer, seconds, steps: trainer.steps - before };
  } catch (error) {
    await trainer.dispose();
    throw error;
  }
}

/**
 * Number of threads of a run: one for built-in models by default, so that results don't depend on the machine or on the
 * number of concurrent runs.
 */
export function runThreads({
  proxy,
  settings,
}: Pick<RunRequest, 'proxy' | 'settings'>): number | undefined {
  return settings.threads ?? (proxy.drawsWeights ? 1 : undefined);
}

/** Number of warm-up steps, and of measured steps. */
const [warmUp, measured] = [2, 4] as const;
/** Number of steps before weights are compared, and number of compared weights. */
const [probed, maxNumbers] = [2, 512] as const;

/** Seconds per step, measured on a trainer that is discarded. */
export async function measureStep(request: RunRequest): Promise<number> {
  let begin = 0;
  return tryRun(request, warmUp + measured, {
    before: (step) => {
      begin = step === warmUp ? performance.now() : begin;
    },
    then: () => (performance.now() - begin) / 1000 / measured,
  });
}

/** Weights after the first steps of a run, to compare processors with different rounding. */
export async function probeRun(request: RunRequest): Promise<readonly number[]> {
  return tryRun(request, probed, {
    before: () => undefined,
    then: (trainer) => {
      const numbers = trainer.parameterNames.flatMap((name) => [...floatsIn(trainer.tensor(name))]);
      const every = Math.max(1, Math.ceil(numbers.length / maxNumbers));
      return numbers.filter((_, i) => i % every === 0);
    },
  });
}

/** Runs steps on the first examples with a trainer that is discarded. */
async function tryRun<T>(
  request: RunRequest,
  steps: number,
  hooks: { readonly before: (step: number) => void; readonly then: (trainer: Trainer) => T },
): Promise<T> {
  const { proxy, dataset, labels, examples, settings } = request;
  const chosen = examples.subarray(0, settings.batchSize);
  const trainer = await createTrainer(request);
  try {
    for (let step = 0; step < steps; step++) {
      hooks.before(step);
      await trainer.train(createBatch(proxy, dataset, labels, chosen));
    }
    return hooks.then(trainer);
  } finally {
    await trainer.dispose();
  }
}

function createBatch(
  proxy: ProxyModel,
  dataset: Dataset,
  labels: Int32Array,
  chosen: Int32Array | readonly number[],
): Tensors {
  const targets = Array.from(chosen, (example) => labels[example] ?? 0);
  return {
    ...proxy.inputs(dataset, chosen),
    [lossInputs.labels]: int64Tensor(targets, [targets.length]),
  };
}

/** Creates the trainer of a run before its first step. */
export async function createTrainer({
  proxy,
  seed,
  steps,
  settings,
}: Pick<RunRequest, 'proxy' | 'seed' | 'steps' | 'settings'>): Promise<Trainer> {
  const { learningRate: rate, schedule, momentum, weightDecay } = settings;
  const threads = runThreads({ proxy, settings });
  return Trainer.create(proxy.untrained(seed), {
    loss: crossEntropy(),
    optimizer: { kind: 'sgd', momentum, nesterov: momentum > 0, weightDecay },
    learningRate: {
      rate,
      schedule: schedule === 'cosine' ? { kind: 'cosine', steps } : { kind: 'constant' },
    },
    seed,
    ...(threads === undefined ? {} : { threads }),
  });
}

/** Trains the remaining steps of an epoch; returns their seconds. */
async function trainEpoch(
  { proxy, dataset, labels, examples, seed, orderSeed = seed, steps, settings }: RunRequest,
  trainer: Trainer,
  epoch: number,
  perEpoch: number,
  { cancellation, checkpoint: file, step: report }: RunHooks,
): Promise<number> {
  const { batchSize } = settings;
  const order = shuffle([...examples], epochRandom(orderSeed, epoch));
  const first = epoch * perEpoch;
  let seconds = 0;
  while (trainer.steps < Math.min(steps, first + perEpoch)) {
    await checkpoint(cancellation);
    const start = (trainer.steps - first) * batchSize;
    const chosen = order.slice(start, start + batchSize);
    const begin = performance.now();
    try {
      await trainer.train(createBatch(proxy, dataset, labels, chosen));
    } catch (error) {
      throw error instanceof UserError
        ? located(error.code, error.problem, seed, epoch, file)
        : error;
    }
    seconds += (performance.now() - begin) / 1000;
    report?.(trainer.steps);
  }
  if (
    !trainer.parameterNames.every((name) => floatsIn(trainer.tensor(name)).every(Number.isFinite))
  ) {
    throw located(
      'weights-not-finite',
      say`The weights are not finite after step ${trainer.steps}.`,
      seed,
      epoch,
      file,
    );
  }
  return seconds;
}

/** Random order of an epoch. Depends only on seed and epoch, so that a run can resume anywhere. */
const epochRandom = (seed: number, epoch: number): (() => number) =>
  seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b));

function located(
  code: ErrorCode,
  problem: Message,
  seed: number,
  epoch: number,
  checkpointFile: string | undefined,
): UserError {
  const savedNote =
    checkpointFile !== undefined && existsSync(checkpointFile)
      ? say`The weights after epoch ${epoch} are saved in ${checkpointFile}.`
      : undefined;
  return new UserError(code, problem, {
    field: `seed ${seed}, epoch ${epoch + 1}`,
    remedy: joined([say`Use a smaller learning rate.`, savedNote]),
  });
}
