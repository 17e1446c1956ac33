import { existsSync } from 'node:fs';
import { seededRandom, shuffle } from '../../data/random';
import { formatBytes } from '../../format';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { idsPort } from '../../models/example';
import { idsIn } from '../../models/model-input';
import type { LayeredModel } from '../../models/layered-model';
import { floatsIn } from '../../runtime/tensors';
import { distillation } from '../../training/losses';
import { Trainer, tryStep } from '../../training/trainer';
import { UserError } from '../../user-error';
import type { RepairScope } from './repair-settings';
import type { TrainingFiles } from './repair-store';
import { TeacherTexts } from './teacher-texts';
import type { NumbersByName } from './trainable-encoding';
import type { RepairSetup } from './walk';
import { effectiveBatch, leastBytes, segmentEnds, stepPlan, wholeModel } from './whole-model';
import type { TrainingSize } from './whole-model';
import { say } from '../../message';

/** Setup for training a whole model against a teacher. */
export interface EndToEndSetup extends Omit<RepairSetup, 'places'> {
  /** Checkpoint files of this job: the current one, and the one with the lowest held-out loss. */
  readonly saved: TrainingFiles;
  readonly scope: Exclude<RepairScope, 'sublayers'>;
}

/**
 * Learning rates relative to those of slices. Lower, because all tensors change together, and the result of training
 * slices is already close (bench/compactifai/NOTES.md).
 */
const wholeModelRates = { model: 0.2, both: 0.1 };
/** Learning rate of routers, relative to that of other layers: all else stays, so they can move further (bench/experts). */
const routerRate = 10;
/** Warm-up steps, during which Adam's second moments are based on few gradients. */
const warmUpSteps = 8;

/**
 * Number of the teacher's most probable ids that are learned individually; all others are merged into one term
 * (bench/compactifai/NOTES.md).
 */
const topIds = 64;

/** Minimum time between two saves within an epoch. */
const saveMilliseconds = 30_000;

/** True if a model continues texts and a step of training the whole model fits into memory. */
export function trainsAsWhole(size: TrainingSize, memoryBytes: number): boolean {
  return continuesTexts(size) && stepPlan(size, memoryBytes) !== undefined;
}

/** @throws UserError if {@link trainsAsWhole} is false */
export function requireTrainsAsWhole(size: TrainingSize, memoryBytes: number): void {
  const file = size.student.summary.path;
  if (!continuesTexts(size)) {
    throw noText(file);
  }
  if (stepPlan(size, memoryBytes) === undefined) {
    throw new UserError(
      'training-memory-too-small',
      say`The full model doesn't fit into the memory limit for training.`,
      {
        file,
        remedy: say`Allow ${formatBytes(leastBytes(size))} (--memory), or choose --scope sublayers.`,
      },
    );
  }
}

const continuesTexts = ({ student: { inputs, output, emitter } }: TrainingSize): boolean =>
  emitter !== undefined && idsPort(inputs) !== undefined && output.seesWhole !== true;

/**
 * Trains the encodings of all sublayers together on KL(teacher‖student), dense matrices by adapters, everything else
 * frozen. Uses gradient checkpointing if the activations don't fit into memory.
 * @returns the values with the lowest held-out loss, by tensor; undefined if none were better than the initial ones
 * @throws UserError like {@link requireTrainsAsWhole}
 */
export async function repairEndToEnd(
  setup: EndToEndSetup,
  context: JobContext,
): Promise<NumbersByName | undefined> {
  const { student, forms, settings, memoryBytes, saved, scope } = setup;
  requireTrainsAsWhole(setup, memoryBytes);
  const batch = effectiveBatch(setup);
  const { pieces, segments } = stepPlan(setup, memoryBytes) ?? tooLarge();
  const { model, streams, unit, onlyRouters, merged } = await wholeModel(
    student,
    forms,
    settings.seed,
  );
  const teacher = await TeacherTexts.read(
    ...([setup.teacher, allTexts(setup), topIds, setup, context] as const),
  );
  // Incomplete batches at the end of an epoch are dropped; shuffling selects other sequences next time.
  const stepsPerEpoch = Math.floor(setup.train.length / batch);
  const steps = settings.epochs * stepsPerEpoch;
  const trainer = await Trainer.create(model, {
    loss: distillation,
    optimizer: { kind: 'adam' },
    learningRate: {
      rate: wholeModelRates[scope] * settings.rate * unit * (onlyRouters ? routerRate : 1),
      schedule: { kind: 'cosine', steps: Math.max(1, steps - warmUpSteps) },
      warmUpSteps,
    },
    clipNorm: 1,
    seed: settings.seed,
    accumulate: pieces,
    cuts: segmentEnds(streams.length, segments).flatMap((end) => streams[end] ?? []),
  });
  try {
    let best: { loss: number; numbers?: ReadonlyMap<string, Float32Array> } = {
      loss: await evaluateHeldOut(trainer, teacher, setup, context),
    };
    /** Evaluates on the held-out texts and stores the parameters if they are the best so far. */
    const judge = async (): Promise<boolean> => {
      const loss = await evaluateHeldOut(trainer, teacher, setup, context);
      const isBetter = loss < best.loss;
      if (isBetter) {
        const numbers = new Map(
          model.parameters.map(
            ({ name }) => [name, Float32Array.from(floatsIn(trainer.tensor(name)))] as const,
          ),
        );
        best = { loss, numbers };
      }
      return isBetter;
    };
    const result = (): NumbersByName | undefined =>
      best.numbers === undefined ? undefined : merged(best.numbers);
    let bad = 0;
    if (existsSync(saved.current)) {
      if (existsSync(saved.best)) {
        await trainer.resume(saved.best);
        await judge();
      }
      const bestSteps = trainer.steps;
      await trainer.resume(saved.current);
      bad = Math.floor((trainer.steps - bestSteps) / stepsPerEpoch);
    }
    let savedAt = performance.now();
    const save = async (): Promise<void> => {
      await trainer.save(saved.current);
      savedAt = performance.now();
    };
    const random = seededRandom(settings.seed);
    for (let epoch = 0; epoch < settings.epochs && bad < settings.patience; epoch++) {
      const order = shuffle([...setup.train.keys()], random);
      const done = trainer.steps - epoch * stepsPerEpoch;
      if (done >= stepsPerEpoch) {
        continue;
      }
      const together = batch / pieces;
      for (let start = done * batch; start < stepsPerEpoch * batch; start += together) {
        context.progress({
          stage: say`Repairing the full model`,
          done: trainer.steps,
          total: steps,
          unit: 'steps',
        });
        const isBetweenSteps = start % batch === 0 && start > done * batch;
        const isLong = performance.now() - savedAt >= saveMilliseconds;
        if (isBetweenSteps && (isLong || context.cancellation.isCancellationRequested)) {
          await save();
        }
        await checkpoint(context.cancellation);
        const texts = teacher.batch(order.slice(start, start + together));
        if (!(await tryStep(trainer, texts))) {
          context.warn(
            say`Training the full model diverged (NaN or infinity) in step ${trainer.steps + 1} of ${steps}. The best weights so far are kept. Choose a smaller learning rate (--rate).`,
          );
          return result();
        }
      }
      const isBetter = await judge();
      bad = isBetter ? 0 : bad + 1;
      if (isBetter) {
        await trainer.save(saved.best);
      }
      await save();
    }
    return result();
  } finally {
    await trainer.dispose();
  }
}

/** Mean loss of the held-out texts, in nats per token. */
async function evaluateHeldOut(
  trainer: Trainer,
  teacher: TeacherTexts,
  { train, heldOut }: EndToEndSetup,
  { cancellation }: JobContext,
): Promise<number> {
  let sum = 0;
  for (const i of heldOut.keys()) {
    sum += await trainer.lossOf(teacher.batch([train.length + i]));
    await checkpoint(cancellation);
  }
  return sum / Math.max(1, heldOut.length);
}

const allTexts = ({ train, heldOut, student }: EndToEndSetup): Int32Array[] =>
  [...train, ...heldOut].map((input) => idsIn(input) ?? withoutText(student));

function tooLarge(): never {
  throw new Error('what does not fit is not trained as a whole');
}

function withoutText({ summary }: LayeredModel): never {
  throw noText(summary.path);
}

function noText(file: string): UserError {
  return new UserError(
    'whole-training-unsupported',
    say`Only models that continue texts can be trained as a whole.`,
    {
      file,
      remedy: say`Choose --scope sublayers.`,
    },
  );
}
