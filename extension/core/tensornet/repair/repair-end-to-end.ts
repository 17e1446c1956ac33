import { existsSync } from 'node:fs';
import { seededRandom, shuffle } from '../../data/random';
import { formatBytes } from '../../format';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { idsPort } from '../../models/example';
import { idsIn } from '../../models/model-input';
import { joined, say } from '../../message';
import type { Message } from '../../message';
import type { LayeredModel } from '../../models/layered-model';
import type { Value } from '../../onnx/graph-builder';
import { floatsIn } from '../../runtime/tensors';
import { distillation } from '../../training/losses';
import type { TrainableModel } from '../../training/trainable-model';
import { Trainer, tryStep } from '../../training/trainer';
import { UserError } from '../../user-error';
import type { RepairScope } from './repair-settings';
import type { TrainingFiles } from './repair-store';
import { TeacherTexts } from './teacher-texts';
import type { NumbersByName } from './trainable-encoding';
import type { RepairSetup } from './walk';
import { effectiveBatch, leastBytes, segmentEnds, stepPlan, wholeModel } from './whole-model';
import type { StepPlan, TrainingSize } from './whole-model';

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

/**
 * @param instead flag to choose otherwise
 * @throws UserError if {@link trainsAsWhole} is false
 */
export function requireTrainsAsWhole(
  size: TrainingSize,
  memoryBytes: number,
  instead = '--scope sublayers',
): StepPlan {
  const file = size.student.summary.path;
  if (!continuesTexts(size)) {
    throw noText(file, instead);
  }
  const plan = stepPlan(size, memoryBytes);
  if (plan === undefined) {
    throw new UserError(
      'training-memory-too-small',
      say`The full model doesn't fit into the memory limit for training.`,
      {
        file,
        remedy: say`Set --memory to at least ${formatBytes(leastBytes(size))}, or choose ${instead}.`,
      },
    );
  }
  return plan;
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
  const { student, forms, settings, memoryBytes, scope } = setup;
  const plan = requireTrainsAsWhole(setup, memoryBytes);
  const { model, streams, unit, onlyRouters, merged } = await wholeModel(
    student,
    forms,
    settings.seed,
  );
  const { numbers } = await distillWhole(
    {
      ...setup,
      model,
      plan,
      rate: wholeModelRates[scope] * settings.rate * unit * (onlyRouters ? routerRate : 1),
      cuts: segmentEnds(streams.length, plan.segments).flatMap((end) => streams[end] ?? []),
      stage: say`Repairing the full model`,
      advice: say`Choose a smaller learning rate (--rate).`,
    },
    context,
  );
  return numbers === undefined ? undefined : merged(numbers);
}

/** A model to train against a teacher, and how. */
export interface WholeTraining extends Pick<
  EndToEndSetup,
  'teacher' | 'train' | 'heldOut' | 'settings' | 'device' | 'memoryBytes' | 'saved'
> {
  readonly model: TrainableModel;
  readonly plan: StepPlan;
  /** Learning rate. */
  readonly rate: number;
  /** Values at which the model's graph is cut, see TrainingOptions. */
  readonly cuts?: readonly Value[];
  /** Selects the parameters to train; all by default. */
  readonly trains?: (name: string) => boolean;
  /** Name of the stage in progress messages. */
  readonly stage: Message;
  /** What to change if training diverges. */
  readonly advice?: Message;
}

/** Result of training a model against a teacher. */
export interface Distilled {
  /** Values of its parameters with the lowest held-out loss; undefined if none were better than the initial ones. */
  readonly numbers: ReadonlyMap<string, Float32Array> | undefined;
  /** Held-out loss before training, and the lowest one, in nats per token. */
  readonly loss: { readonly before: number; readonly after: number };
}

/** Trains a model on KL(teacher‖student). */
export async function distillWhole(setup: WholeTraining, context: JobContext): Promise<Distilled> {
  const {
    model,
    settings,
    saved,
    plan,
    rate,
    stage,
    advice,
    cuts = [],
    trains = () => true,
  } = setup;
  const batch = effectiveBatch(setup);
  const { pieces } = plan;
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
      rate,
      schedule: { kind: 'cosine', steps: Math.max(1, steps - warmUpSteps) },
      warmUpSteps,
    },
    clipNorm: 1,
    seed: settings.seed,
    accumulate: pieces,
    cuts,
    trains,
  });
  try {
    const before = await evaluateHeldOut(trainer, teacher, setup, context);
    let best: { loss: number; numbers?: ReadonlyMap<string, Float32Array> } = { loss: before };
    const result = (): Distilled => ({
      numbers: best.numbers,
      loss: { before, after: best.loss },
    });
    /** Evaluates on the held-out texts and stores the parameters if they are the best so far. */
    const judge = async (): Promise<boolean> => {
      const loss = await evaluateHeldOut(trainer, teacher, setup, context);
      const isBetter = loss < best.loss;
      if (isBetter) {
        const numbers = new Map(
          model.parameters
            .filter(({ name }) => trains(name))
            .map(({ name }) => [name, Float32Array.from(floatsIn(trainer.tensor(name)))] as const),
        );
        best = { loss, numbers };
      }
      return isBetter;
    };
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
          stage,
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
            joined([
              say`Training the full model diverged (NaN or infinity) in step ${trainer.steps + 1} of ${steps}. The best weights so far are kept.`,
              advice,
            ]),
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
  { train, heldOut }: Pick<EndToEndSetup, 'train' | 'heldOut'>,
  { cancellation }: JobContext,
): Promise<number> {
  let sum = 0;
  for (const i of heldOut.keys()) {
    sum += await trainer.lossOf(teacher.batch([train.length + i]));
    await checkpoint(cancellation);
  }
  return sum / Math.max(1, heldOut.length);
}

const allTexts = ({ train, heldOut, teacher }: WholeTraining): Int32Array[] =>
  [...train, ...heldOut].map((input) => idsIn(input) ?? withoutText(teacher));

function withoutText({ summary }: LayeredModel): never {
  throw new Error(`${summary.path} was trained without texts`);
}

function noText(file: string, instead: string): UserError {
  return new UserError(
    'whole-training-unsupported',
    say`Only models that continue texts can be trained as a whole.`,
    { file, remedy: say`Choose ${instead}.` },
  );
}
