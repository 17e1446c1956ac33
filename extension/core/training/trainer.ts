import { DataType, GraphBuilder } from '../onnx/graph-builder';
import { elementCount } from '../checkpoints/lazy-tensor';
import { createSession, maySpin, withSessions } from '../runtime/session';
import type { SessionOptions } from '../runtime/session';
import { runStep, State } from '../runtime/state-session';
import { floatsIn, floatOutput, floatTensor, int32Scalar, outputTensor } from '../runtime/tensors';
import type { Tensor, Tensors } from '../runtime/tensors';
import { UserError } from '../user-error';
import { readCheckpoint, writeCheckpoint } from './checkpoint';
import { stepKey } from './dropout';
import { createOptimizer } from './optimizers';
import type { Optimizer } from './optimizers';
import { LearningRate } from './schedules';
import type { LearningRateOptions } from './schedules';
import { SegmentedPass } from './segments/segmented-pass';
import { accumulationGraph, names, stepGraph, updateGraph } from './train-graph';
import type { StepGraph, TrainingOptions } from './train-graph';
import { dropoutKey } from './trainable-model';
import type { TrainableModel } from './trainable-model';
import { say } from '../message';

/** Options of a trainer. */
export interface TrainerOptions extends TrainingOptions, Pick<SessionOptions, 'keepReshapes'> {
  readonly learningRate: LearningRateOptions;
  /** Seed of dropout. */
  readonly seed: number;
  /** Number of threads of its sessions; one per core by default. */
  readonly threads?: number;
}

export interface StepResult {
  readonly loss: number;
  /** Norm of the gradients before clipping, if they are clipped. */
  readonly gradientNorm?: number;
  /** The model's output for the batch, if requested. */
  readonly output?: Tensor;
}

type Session = Awaited<ReturnType<typeof createSession>>;

interface Program extends Pick<StepGraph, 'state'> {
  readonly session: Session;
}

/** Result of a run without gradients. */
type Evaluation = 'output' | 'loss';

/**
 * Trains a model on the CPU with a session that runs forward pass, backward pass and update: it reads the parameters
 * and the optimizer's state, and outputs their new values.
 */
export class Trainer {
  private step = 0;
  private batches = 0;
  private readonly rate: LearningRate;
  private readonly optimizer: Optimizer;

  /** Evaluation sessions, created on first use. */
  private readonly evaluationSessions = new Map<Evaluation, Promise<Session>>();

  private constructor(
    private readonly model: TrainableModel,
    private readonly options: TrainerOptions,
    private readonly state: State,
    /** Forward and backward pass, including the update unless gradients are accumulated. */
    private readonly first: Program | SegmentedPass,
    /** Update, if gradients are accumulated. */
    private readonly update: Program | undefined,
  ) {
    this.rate = new LearningRate(options.learningRate);
    this.optimizer = createOptimizer(options.optimizer);
  }

  /** @throws UserError if the model has an operator without gradient */
  public static async create(model: TrainableModel, options: TrainerOptions): Promise<Trainer> {
    return withSessions(async (create) => Trainer.open(model, options, create));
  }

  private static async open(
    model: TrainableModel,
    options: TrainerOptions,
    create: typeof createSession,
  ): Promise<Trainer> {
    const { accumulate = 1, cuts = [], threads } = options;
    const open = async ({ graph, state }: StepGraph): Promise<Program> => ({
      session: await create(graph, sessionOptions(options)),
      state,
    });
    const isCut = cuts.length > 0;
    const first = isCut
      ? await SegmentedPass.create(model, options, threads, create)
      : await open(accumulate > 1 ? accumulationGraph(model, options) : stepGraph(model, options));
    const update =
      isCut || accumulate > 1
        ? await open(updateGraph(new GraphBuilder('update'), model, options))
        : undefined;
    const state = new State(await model.initial());
    for (const { name, shape } of [...first.state, ...(update?.state ?? [])]) {
      if (!state.names.includes(name)) {
        state.add(name, floatTensor(new Float32Array(elementCount(shape)), shape));
      }
    }
    return new Trainer(model, options, state, first, update);
  }

  /** Number of updates so far. */
  public get steps(): number {
    return this.step;
  }

  /** Names of the parameters and buffers. */
  public get parameterNames(): string[] {
    return [...this.model.parameters, ...this.model.buffers].map(({ name }) => name);
  }

  /** Current value of a parameter, buffer or optimizer tensor; valid until the next step but one. */
  public tensor(name: string): Tensor {
    return this.state.of(name);
  }

  /**
   * Trains on one batch: the model's inputs and the targets of the loss, by name. With accumulation, `accumulate`
   * batches make one update.
   * @throws UserError if the loss isn't finite; the parameters are then unchanged
   */
  public async train(batch: Tensors): Promise<StepResult> {
    const { clipNorm, accumulate = 1, seed, withOutput = false } = this.options;
    const wanted = [
      names.loss,
      ...(withOutput ? [names.output] : []),
      ...(clipNorm === undefined || this.update !== undefined ? [] : [names.norm]),
    ];
    const key = stepKey(seed, this.step * accumulate + this.batches);
    const feeds = { ...batch, [dropoutKey]: int32Scalar(key), ...this.scalars() };
    const { first } = this;
    const outputs =
      first instanceof SegmentedPass
        ? await first.train(feeds, this.state)
        : await this.run(first, feeds, wanted);
    const loss = firstElement(floatOutput(outputs, names.loss));
    const own = clipNorm === undefined || this.update !== undefined ? undefined : outputs;
    const norm = own === undefined ? undefined : firstElement(floatOutput(own, names.norm));
    this.requireFinite(loss, norm);
    if (!(first instanceof SegmentedPass)) {
      this.state.accept(first.state.map(({ name }) => name));
    }
    const output = withOutput ? { output: outputTensor(outputs, names.output) } : {};
    if (this.update === undefined) {
      this.step++;
      return { loss, ...(norm === undefined ? {} : { gradientNorm: norm }), ...output };
    }
    this.batches++;
    if (this.batches < accumulate) {
      return { loss, ...output };
    }
    const gradientNorm = await this.applyUpdate(this.update);
    return { loss, ...(gradientNorm === undefined ? {} : { gradientNorm }), ...output };
  }

  /** Reports a loss to a plateau schedule. */
  public observe(loss: number): void {
    this.rate.observe(loss);
  }

  /** Learning rate of the next update. */
  public get learningRate(): number {
    return this.rate.at(this.step);
  }

  /** Returns the model's output in evaluation mode. */
  public async evaluate(inputs: Tensors): Promise<Tensor> {
    return this.runEvaluation('output', inputs);
  }

  /** Computes the loss of a batch in evaluation mode, without gradients. */
  public async lossOf(batch: Tensors): Promise<number> {
    const loss =
      this.first instanceof SegmentedPass
        ? await this.first.lossOf(batch, this.state)
        : await this.runEvaluation('loss', batch);
    return firstElement(floatsIn(loss));
  }

  /** Saves everything that the next step depends on to a safetensors file. */
  public async save(path: string): Promise<void> {
    const tensors = Object.fromEntries(this.state.names.map((name) => [name, this.state.of(name)]));
    const { step, batches, rate } = this;
    await writeCheckpoint(path, tensors, { step, batches, plateau: rate.state });
  }

  /**
   * Resumes from a file that `save` wrote for the same model and optimizer.
   * @throws UserError if its tensors don't match this trainer's
   */
  public async resume(path: string): Promise<void> {
    const shapes = new Map(this.state.names.map((name) => [name, this.state.of(name).dims]));
    const { tensors, progress } = await readCheckpoint(path, shapes);
    for (const [name, tensor] of Object.entries(tensors)) {
      this.state.add(name, tensor);
    }
    this.step = progress.step;
    this.batches = progress.batches;
    this.rate.restore(progress.plateau);
  }

  public async dispose(): Promise<void> {
    const { first, update, evaluationSessions } = this;
    await (first instanceof SegmentedPass ? first.dispose() : first.session.release());
    await update?.session.release();
    await Promise.all(
      [...evaluationSessions.values()].map(async (session) => (await session).release()),
    );
  }

  private async applyUpdate(update: Program): Promise<number | undefined> {
    const wanted = this.options.clipNorm === undefined ? [] : [names.norm];
    const outputs = await this.run(update, this.scalars(), wanted);
    const norm = wanted.length === 0 ? undefined : firstElement(floatOutput(outputs, names.norm));
    this.requireFinite(0, norm);
    this.state.accept(update.state.map(({ name }) => name));
    for (const { name } of this.first.state) {
      if (!this.model.buffers.some((buffer) => buffer.name === name)) {
        this.state.fill(name, 0);
      }
    }
    this.batches = 0;
    this.step++;
    return norm;
  }

  private async runEvaluation(what: Evaluation, inputs: Tensors): Promise<Tensor> {
    const known = this.evaluationSessions.get(what);
    const opening =
      known ??
      createSession(evaluationGraph(this.model, what, this.options), sessionOptions(this.options));
    this.evaluationSessions.set(what, opening);
    const session = await opening.catch((error: unknown) => {
      this.evaluationSessions.delete(what);
      throw error;
    });
    const feeds = session.inputNames.map(
      (name) => [name, inputs[name] ?? this.state.of(name)] as const,
    );
    return outputTensor(await session.run(Object.fromEntries(feeds)), names[what]);
  }

  private async run({ session, state }: Program, given: Tensors, wanted: readonly string[]) {
    const feeds = Object.entries(given).filter(([name]) => session.inputNames.includes(name));
    const written = state.map(({ name }) => name);
    return runStep(session, Object.fromEntries(feeds), this.state, written, wanted, names.next);
  }

  private scalars(): Tensors {
    const values = this.optimizer.scalars(this.learningRate, this.step + 1);
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        names.scalar(name),
        floatTensor(Float32Array.of(value), []),
      ]),
    );
  }

  private requireFinite(loss: number, norm = 0): void {
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      const step = this.step + 1;
      throw new UserError(
        Number.isFinite(loss) ? 'gradients-not-finite' : 'loss-not-finite',
        Number.isFinite(loss)
          ? say`Training diverged: the norm of the gradients is ${norm} at step ${step}.`
          : say`Training diverged: the loss is ${loss} at step ${step}.`,
        { remedy: say`Use a smaller learning rate, or clip the gradients.` },
      );
    }
  }
}

const sessionOptions = ({ keepReshapes, threads }: TrainerOptions): SessionOptions => ({
  device: 'cpu',
  prepack: true,
  spin: maySpin(),
  keepMemory: true,
  ...(keepReshapes === undefined ? {} : { keepReshapes }),
  ...(threads === undefined ? {} : { threads }),
});

/** Graph of the model in evaluation mode. */
function evaluationGraph(
  model: TrainableModel,
  what: Evaluation,
  { loss }: TrainerOptions,
): GraphBuilder {
  const { graph, output } = model.forward('evaluate');
  if (what === 'output') {
    graph.output(names.output, output.value, DataType.FLOAT, output.shape);
  } else {
    graph.output(names.loss, loss(graph, output), DataType.FLOAT, []);
  }
  return graph;
}

function firstElement([value = Number.NaN]: Float32Array): number {
  return value;
}

/** Trains one step; returns false if the loss isn't finite, after which training can't continue. */
export async function tryStep(trainer: Trainer, batch: Tensors): Promise<boolean> {
  try {
    await trainer.train(batch);
    return true;
  } catch (error) {
    if (error instanceof UserError) {
      return false;
    }
    throw error;
  }
}
