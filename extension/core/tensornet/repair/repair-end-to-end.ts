import { existsSync } from 'node:fs';
import { seededRandom, shuffle } from '../../data/random';
import { formatBytes } from '../../format';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { idsPort } from '../../models/example';
import { idsIn } from '../../models/model-input';
import type { LayeredModel } from '../../models/layered-model';
import { streamWidth } from '../../models/model-emitter';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { floatsIn, floatTensor, int64Tensor } from '../../runtime/tensors';
import type { HiddenState, Tensor, Tensors } from '../../runtime/tensors';
import { distillation, lossInputs } from '../../training/losses';
import { Trainer } from '../../training/trainer';
import { tryStep } from '../../training/try-step';
import { UserError } from '../../user-error';
import { divergenceBy } from './output-distance';
import type { RepairScope } from './repair-settings';
import type { TrainingFiles } from './repair-store';
import type { RepairSetup } from './walk';
import { trainedNumbers, wholeModel } from './whole-model';
import { say } from '../../message';

/** A whole model to train against another. */
export interface EndToEndSetup extends Omit<RepairSetup, 'places'> {
  /** Files that training is kept in, of this job alone: as it stands, and with the lowest held-out loss. */
  readonly saved: TrainingFiles;
  readonly scope: Exclude<RepairScope, 'sublayers'>;
}

/**
 * Float32 copies: of all weights (two sessions, as they are and packed, and the teacher's), of those that are trained
 * (gradients, the optimiser's state, what is best so far), of a step's logits, and of the stream behind each sublayer
 * for what the way back needs of it. As seen: SmolLM2-135M without a quarter of its sublayers took 5.9 GB with
 * adapters, of 4 × 128 tokens a step.
 */
const copies = { weights: 5, trained: 10, logits: 8, streams: 48 };
/** What the teacher may take of the memory. */
const teachersShare = 1 / 4;

/**
 * Learning rates in units of the slices': all tensors move together, and what slices have found is near
 * (docs/research/compactifai.md).
 */
const ratesOfWhole = { model: 0.2, both: 0.1 };
/** Steps on which the rate grows, while Adam's second moments are those of few gradients. */
const warmUpSteps = 8;

/** Least time between two saves within an epoch. */
const saveMilliseconds = 30_000;

/** Whether a model continues texts and fits into memory often enough to be trained as a whole. */
export function trainsAsWhole(size: TrainingSize, memoryBytes: number): boolean {
  return continuesTexts(size) && piecesOfBatch(size, memoryBytes) !== undefined;
}

/** @throws UserError where {@link trainsAsWhole} is false. */
export function requireTrainsAsWhole(size: TrainingSize, memoryBytes: number): void {
  const file = size.student.summary.path;
  if (!continuesTexts(size)) {
    throw noText(file);
  }
  if (piecesOfBatch(size, memoryBytes) === undefined) {
    throw new UserError(say`The full model doesn't fit into the memory limit for training.`, {
      file,
      remedy: say`Allow ${formatBytes(bytesToTrain(size, 1))} (--memory), or choose --scope sublayers.`,
    });
  }
}

const continuesTexts = ({ student: { inputs, output, emitter } }: TrainingSize): boolean =>
  emitter !== undefined && idsPort(inputs) !== undefined && output.seesWhole !== true;

/** What the memory that training takes depends on. */
type TrainingSize = Pick<EndToEndSetup, 'student' | 'forms' | 'train' | 'settings'>;

/** Sequences of a step: no more than there are. */
const batchOf = ({ train, settings }: TrainingSize): number =>
  Math.min(settings.batch, Math.max(1, train.length));

/** The fewest equal pieces in which a step's sequences are run, so that memory suffices; undefined where none does. */
function piecesOfBatch(size: TrainingSize, memoryBytes: number): number | undefined {
  const batch = batchOf(size);
  return Array.from({ length: batch }, (_, i) => i + 1).find(
    (pieces) => batch % pieces === 0 && bytesToTrain(size, batch / pieces) <= memoryBytes,
  );
}

/** @param sequences that are run together */
function bytesToTrain({ student, forms, train }: TrainingSize, sequences: number): number {
  const { parameters, sublayers, vocabularySize = 0 } = student.summary;
  const length = Math.max(0, ...train.map((input) => idsIn(input)?.length ?? 0));
  const tokens = sequences * length;
  const width = student.emitter === undefined ? 0 : streamWidth(student.emitter);
  const numbers =
    copies.weights * parameters +
    copies.trained * trainedNumbers(forms) +
    tokens * (copies.logits * vocabularySize + copies.streams * width * sublayers.length);
  return numbers * Float32Array.BYTES_PER_ELEMENT;
}

/**
 * Trains the forms of all sublayers at once on KL(teacher‖student), dense ones by adapters, everything else
 * frozen: for models that fit into memory several times.
 * @returns the numbers with the lowest held-out loss, by tensor; undefined where none were better.
 * @throws UserError as {@link requireTrainsAsWhole}.
 */
export async function repairEndToEnd(
  setup: EndToEndSetup,
  context: JobContext,
): Promise<ReadonlyMap<string, Float32Array> | undefined> {
  const { student, forms, settings, memoryBytes, saved, scope } = setup;
  requireTrainsAsWhole(setup, memoryBytes);
  const batch = batchOf(setup);
  const pieces = piecesOfBatch(setup, memoryBytes) ?? batch;
  const { model, unit, merged } = await wholeModel(student, forms, settings.seed);
  // What is left over of an epoch is another time among those that are not.
  const stepsPerEpoch = Math.floor(setup.train.length / batch);
  const steps = settings.epochs * stepsPerEpoch;
  const trainer = await Trainer.create(model, {
    loss: distillation(1),
    optimizer: { kind: 'adam' },
    learningRate: {
      rate: ratesOfWhole[scope] * settings.rate * unit,
      schedule: { kind: 'cosine', steps: Math.max(1, steps - warmUpSteps) },
      warmUpSteps,
    },
    clipNorm: 1,
    seed: settings.seed,
    accumulate: pieces,
  });
  const teacher = new Teacher(setup, context);
  try {
    await teacher.start();
    let best: { loss: number; numbers?: ReadonlyMap<string, Float32Array> } = {
      loss: await heldOutLoss(trainer, teacher, setup, context),
    };
    /** Keeps what is better than all before. */
    const judge = async (): Promise<boolean> => {
      const loss = await heldOutLoss(trainer, teacher, setup, context);
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
    const result = async (): Promise<ReadonlyMap<string, Float32Array> | undefined> =>
      best.numbers === undefined ? undefined : merged(best.numbers);
    let bad = 0;
    if (existsSync(saved.current)) {
      if (existsSync(saved.best)) {
        await trainer.resume(saved.best);
        await judge();
      }
      const stepsOfBest = trainer.steps;
      await trainer.resume(saved.current);
      bad = Math.floor((trainer.steps - stepsOfBest) / stepsPerEpoch);
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
        const texts = await teacher.batch(order.slice(start, start + together));
        if (!(await tryStep(trainer, texts))) {
          context.warn(
            say`Training the full model diverged (NaN or infinity) in step ${trainer.steps + 1} of ${steps}. The best weights so far are kept. Choose a smaller learning rate (--rate).`,
          );
          return await result();
        }
      }
      const isBetter = await judge();
      bad = isBetter ? 0 : bad + 1;
      if (isBetter) {
        await trainer.save(saved.best);
      }
      await save();
    }
    return await result();
  } finally {
    await teacher.dispose();
    await trainer.dispose();
  }
}

/** The teacher's final states, from which its logits are computed batch by batch. */
class Teacher {
  private readonly executor: LayeredExecutor;
  private readonly measure: ReturnType<typeof divergenceBy>;
  private readonly inputs: readonly Int32Array[];
  private readonly states: HiddenState[] = [];

  public constructor(
    { teacher, train, heldOut, device, memoryBytes }: EndToEndSetup,
    private readonly context: JobContext,
  ) {
    this.executor = new LayeredExecutor(teacher, device, memoryBytes * teachersShare);
    this.measure = divergenceBy(this.executor);
    this.inputs = [...train, ...heldOut].map((input) => idsIn(input) ?? withoutText(teacher));
  }

  public async start(): Promise<void> {
    const { executor, context } = this;
    const count = executor.model.summary.sublayers.length;
    for (const [done, input] of this.inputs.entries()) {
      context.progress({
        stage: say`Running the original`,
        done,
        total: this.inputs.length,
        unit: 'sequences',
        moreFollows: true,
      });
      let states = [await executor.embed(input)];
      for (let index = 0; index < count; index++) {
        states = await executor.run(index, states);
        await checkpoint(context.cancellation);
      }
      this.states.push(...states);
    }
  }

  /** Token ids and logits of some texts of one length. */
  public async batch(indexes: readonly number[]): Promise<Tensors> {
    const texts = indexes.flatMap((index) => this.inputs[index] ?? []);
    const length = texts[0]?.length ?? 0;
    const logits: Tensor[] = [];
    for (const index of indexes) {
      const state = this.states[index];
      logits.push(...(state === undefined ? [] : [await this.executor.output(state)]));
    }
    const ids = Int32Array.from(texts.flatMap((text) => [...text]));
    const shape = [texts.length, length];
    const size = texts.length * length;
    const vocabulary = logits[0]?.dims.at(-1) ?? 0;
    const joined = new Float32Array(size * vocabulary);
    logits.forEach((tensor, i) => {
      joined.set(floatsIn(tensor), i * length * vocabulary);
    });
    return {
      input_ids: int64Tensor(ids, shape),
      attention_mask: int64Tensor(new Int32Array(size).fill(1), shape),
      position_ids: int64Tensor(
        Int32Array.from({ length: size }, (_, i) => i % length),
        shape,
      ),
      [lossInputs.teacher]: floatTensor(joined, [texts.length, length, vocabulary]),
    };
  }

  /** KL(teacher‖student) in nats per token, of the student's logits for a batch. */
  public async divergence(batch: Tensors, student: Tensor): Promise<number> {
    const known = batch[lossInputs.teacher];
    const tokens = batch['input_ids']?.size ?? 1;
    return known === undefined ? 0 : (await this.measure(known, student)) / Math.max(1, tokens);
  }

  public async dispose(): Promise<void> {
    await this.executor.dispose();
  }
}

/** Mean KL(teacher‖student) of the held-out texts, in nats per token. */
async function heldOutLoss(
  trainer: Trainer,
  teacher: Teacher,
  { train, heldOut }: EndToEndSetup,
  { cancellation }: JobContext,
): Promise<number> {
  let sum = 0;
  for (const i of heldOut.keys()) {
    const batch = await teacher.batch([train.length + i]);
    sum += await teacher.divergence(batch, await trainer.evaluate(batch));
    await checkpoint(cancellation);
  }
  return sum / Math.max(1, heldOut.length);
}

function withoutText({ summary }: LayeredModel): never {
  throw noText(summary.path);
}

function noText(file: string): UserError {
  return new UserError(say`Only models that continue texts can be trained as a full model.`, {
    file,
    remedy: say`Choose --scope sublayers.`,
  });
}
