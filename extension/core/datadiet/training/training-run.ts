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
import { UserError } from '../../user-error';
import type { ProxyModel } from './proxy-model';
import type { TrainingSettings } from './training-settings';
import { joined, say } from '../../message';
import type { Message } from '../../message';

/** One training of a proxy. */
export interface RunRequest {
  readonly proxy: ProxyModel;
  readonly dataset: Dataset;
  /** The class of each example of the data set; may differ from the data set's own. */
  readonly labels: Int32Array;
  /** The examples that are trained on. */
  readonly examples: Int32Array;
  readonly seed: number;
  /** What the order of examples is drawn from; the seed if absent. */
  readonly orderSeed?: number;
  readonly steps: number;
  readonly settings: TrainingSettings;
}

export interface RunHooks {
  readonly cancellation: Cancellation;
  /** File that the run is saved to after every epoch, and goes on from. */
  readonly checkpoint?: string;
  /** Called after every step with the number of steps made. */
  readonly step?: (steps: number) => void;
  /** Called after each epoch, counted from 1, and before the run is saved; may be called twice for one. */
  readonly epoch?: (epoch: number, trainer: Trainer) => Promise<void>;
}

/** Batches of an epoch; the last may be smaller. */
export const stepsPerEpoch = (examples: number, { batchSize }: TrainingSettings): number =>
  Math.ceil(examples / batchSize);

/**
 * Trains a proxy. Seed, examples and settings fix the result to the bit, whether the run was interrupted
 * or not. The trainer is the caller's to dispose of.
 * @returns the trainer, and the seconds that its steps took since it was started or resumed
 * @throws UserError when the loss is no longer finite; the last checkpoint is then kept.
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
      // Another process that trains the same may be ahead, or done: its weights stay.
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
 * Threads of a run: one for the models that come with Espalier unless the settings say otherwise. What comes
 * out then depends neither on the machine nor on how many runs go on at once.
 */
export function threadsOf({
  proxy,
  settings,
}: Pick<RunRequest, 'proxy' | 'settings'>): number | undefined {
  return settings.threads ?? (proxy.drawsWeights ? 1 : undefined);
}

/** Steps that are made before time is taken, and steps that are measured. */
const [warmUp, measured] = [2, 4] as const;
/** Steps whose weights are compared, and how many numbers of them. */
const [probed, mostNumbers] = [2, 512] as const;

/** Seconds that a step of a run takes, measured on a trainer that is thrown away. */
export async function measureStep(request: RunRequest): Promise<number> {
  let begin = 0;
  return tryRun(request, warmUp + measured, {
    before: (step) => {
      begin = step === warmUp ? performance.now() : begin;
    },
    then: () => (performance.now() - begin) / 1000 / measured,
  });
}

/** Weights after the first steps of a run: other processors round otherwise. */
export async function probeRun(request: RunRequest): Promise<readonly number[]> {
  return tryRun(request, probed, {
    before: () => undefined,
    then: (trainer) => {
      const numbers = trainer.parameterNames.flatMap((name) => [...floatsIn(trainer.tensor(name))]);
      const every = Math.max(1, Math.ceil(numbers.length / mostNumbers));
      return numbers.filter((_, i) => i % every === 0);
    },
  });
}

/** Makes steps on the first examples with a trainer that is thrown away. */
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
      await trainer.train(batchOf(proxy, dataset, labels, chosen));
    }
    return hooks.then(trainer);
  } finally {
    await trainer.dispose();
  }
}

function batchOf(
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

/** The trainer of a run before its first step. */
export async function createTrainer({
  proxy,
  seed,
  steps,
  settings,
}: Pick<RunRequest, 'proxy' | 'seed' | 'steps' | 'settings'>): Promise<Trainer> {
  const { learningRate: rate, schedule, momentum, weightDecay } = settings;
  const threads = threadsOf({ proxy, settings });
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

/** Trains the steps of an epoch that are missing; gives the seconds they took. */
async function trainEpoch(
  { proxy, dataset, labels, examples, seed, orderSeed = seed, steps, settings }: RunRequest,
  trainer: Trainer,
  epoch: number,
  perEpoch: number,
  { cancellation, checkpoint: file, step: report }: RunHooks,
): Promise<number> {
  const { batchSize } = settings;
  const order = shuffle([...examples], orderOf(orderSeed, epoch));
  const first = epoch * perEpoch;
  let seconds = 0;
  while (trainer.steps < Math.min(steps, first + perEpoch)) {
    await checkpoint(cancellation);
    const start = (trainer.steps - first) * batchSize;
    const chosen = order.slice(start, start + batchSize);
    const begin = performance.now();
    try {
      await trainer.train(batchOf(proxy, dataset, labels, chosen));
    } catch (error) {
      throw error instanceof UserError ? located(error.problem, seed, epoch, file) : error;
    }
    seconds += (performance.now() - begin) / 1000;
    report?.(trainer.steps);
  }
  if (
    !trainer.parameterNames.every((name) => floatsIn(trainer.tensor(name)).every(Number.isFinite))
  ) {
    throw located(say`The weights are not finite after step ${trainer.steps}.`, seed, epoch, file);
  }
  return seconds;
}

/** The order of each epoch follows from seed and epoch alone, so that a run can go on anywhere. */
const orderOf = (seed: number, epoch: number): (() => number) =>
  seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b));

function located(
  problem: Message,
  seed: number,
  epoch: number,
  checkpointFile: string | undefined,
): UserError {
  const kept =
    checkpointFile !== undefined && existsSync(checkpointFile)
      ? say`The weights after epoch ${epoch} are saved in ${checkpointFile}.`
      : undefined;
  return new UserError(problem, {
    field: `seed ${seed}, epoch ${epoch + 1}`,
    remedy: joined([say`Use a smaller learning rate.`, kept]),
  });
}
