import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { TensorData } from '../../checkpoints/tensor-data';
import type { ModelInput } from '../../models/model-input';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import { UserError } from '../../user-error';
import { streamBehind } from './graph-slice';
import { repairSlice } from './repair-slice';
import type { RepairedSlice } from './repair-slice';
import type { SlicePair, SliceData } from './slice';
import type { RepairSettings } from './repair-settings';
import type { RepairStore, SliceRecord } from './repair-store';
import { outputDistance } from './output-distance';
import { withNumbers } from './trainable-encoding';
import { say } from '../../message';
import type { Message } from '../../message';

/** A model to repair, and the one that it learns from. */
export interface RepairSetup {
  readonly student: LayeredModel;
  readonly teacher: LayeredModel;
  /** Index among the teacher's sublayers of each of the student's. */
  readonly places: readonly number[];
  /** What is trained: forms of linear layers of the student, by id. */
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly train: readonly ModelInput[];
  readonly heldOut: readonly ModelInput[];
  readonly settings: RepairSettings;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

export interface RepairOutcome {
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly slices: readonly SliceRecord[];
  /** {@link outputDistance} on held-out text. */
  readonly lossBefore: number;
  readonly lossAfter: number;
}

/** Runs both models side by side, sublayer by sublayer, holding the states of one boundary. */
class Walk {
  private readonly teacher: LayeredExecutor;
  private readonly student: LayeredExecutor;
  private teacherStates: readonly HiddenState[] = [];
  private studentStates: readonly HiddenState[] = [];
  private teacherIndex = 0;

  public constructor(
    private readonly setup: RepairSetup,
    private readonly pause: () => Promise<void>,
  ) {
    const { student, teacher, device, memoryBytes } = setup;
    this.teacher = new LayeredExecutor(teacher, device, memoryBytes / 2);
    this.student = new LayeredExecutor(student, device, memoryBytes / 2);
  }

  public async start(): Promise<void> {
    const inputs = [...this.setup.train, ...this.setup.heldOut];
    const embed = async (executor: LayeredExecutor): Promise<HiddenState[]> => {
      const states: HiddenState[] = [];
      for (const input of inputs) {
        states.push(await executor.embed(input));
        await this.pause();
      }
      return states;
    };
    this.teacherStates = await embed(this.teacher);
    this.studentStates = await embed(this.student);
    this.teacherIndex = 0;
  }

  /**
   * What the student has in front of its sublayer `index`, and what the teacher has where the student
   * goes on behind it: what the teacher alone has in between is to be learned too.
   */
  public async slice(index: number): Promise<SlicePair> {
    const { places, teacher, train } = this.setup;
    const next = places[index + 1] ?? teacher.summary.sublayers.length;
    for (; this.teacherIndex < next; this.teacherIndex++) {
      this.teacherStates = await this.teacher.run(
        this.teacherIndex,
        this.teacherStates,
        this.pause,
      );
    }
    const after = streamBehind(teacher, next - 1);
    const targets = this.teacherStates.map(({ values }): Tensor => values[after] ?? lost(after));
    const part = (from: number, to?: number): SliceData => ({
      inputs: this.studentStates.slice(from, to),
      targets: targets.slice(from, to),
    });
    return { train: part(0, train.length), heldOut: part(train.length) };
  }

  /** Takes the student behind sublayer `index`, by the weights that `model` has for it. */
  public async advance(index: number, model: LayeredModel): Promise<void> {
    const { student } = this.setup;
    this.studentStates =
      model === student
        ? await this.student.run(index, this.studentStates, this.pause)
        : await this.student.through(model.sublayer(index), this.studentStates, this.pause);
  }

  /** Takes both through all sublayers, the student by the weights of `model`: the distance of their outputs. */
  public async whole(model: LayeredModel, onSublayer: (index: number) => void): Promise<number> {
    await this.start();
    for (const index of this.setup.student.summary.sublayers.keys()) {
      onSublayer(index);
      await this.slice(index);
      await this.advance(index, model);
    }
    return this.loss();
  }

  /** At the end of both: the distance of their outputs on held-out text. */
  public async loss(): Promise<number> {
    const from = this.setup.train.length;
    const pairs = this.teacherStates.slice(from).flatMap((teacher, i) => {
      const student = this.studentStates[from + i];
      return student === undefined ? [] : [{ teacher, student }];
    });
    return outputDistance(this.teacher, this.student, pairs, this.pause);
  }

  public async dispose(): Promise<void> {
    await this.teacher.dispose();
    await this.student.dispose();
  }
}

/**
 * Repairs a model slice by slice: every sublayer with trained forms learns to bring the student's stream,
 * as the sublayers repaired before it leave it, to the teacher's. States of one boundary are held, so a
 * model of any size can be repaired.
 * @param store what an earlier run has finished is taken from there
 */
export async function repairSlices(
  setup: RepairSetup,
  store: RepairStore,
  context: JobContext,
): Promise<RepairOutcome> {
  const { student, forms } = setup;
  const { sublayers } = student.summary;
  const lossBefore = await measureLoss(setup, new Map(), say`Measuring the loss before`, context);
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  const walk = new Walk(setup, pause);
  const report = (stage: Message, done: number): void => {
    context.progress({ stage, done, total: sublayers.length, unit: 'steps' });
  };
  try {
    await walk.start();
    const repaired = new Map<string, MatrixEncoding>();
    const slices: SliceRecord[] = [];
    for (const [index, { id }] of sublayers.entries()) {
      report(say`Repairing ${id}`, index);
      const slice = await walk.slice(index);
      const own = formsOf(student, index, forms);
      const record =
        own.size === 0
          ? undefined
          : (store.recordOf(id) ?? (await repairOne(setup, index, own, slice, store, context)));
      const better =
        record?.repaired === true
          ? await store.formsOf(id, own)
          : new Map<string, MatrixEncoding>();
      better.forEach((form, layer) => repaired.set(layer, form));
      await walk.advance(index, better.size === 0 ? student : student.withMatrices(better));
      slices.push(...(record === undefined ? [] : [record]));
    }
    return { forms: repaired, slices, lossBefore, lossAfter: await walk.loss() };
  } finally {
    await walk.dispose();
  }
}

/** {@link outputDistance} on held-out text, with other forms of the student. */
export async function measureLoss(
  setup: RepairSetup,
  forms: ReadonlyMap<string, MatrixEncoding>,
  stage: Message,
  context: JobContext,
): Promise<number> {
  const { student } = setup;
  const walk = new Walk({ ...setup, train: [] }, async () => checkpoint(context.cancellation));
  const total = student.summary.sublayers.length;
  const model = forms.size === 0 ? student : student.withMatrices(forms);
  try {
    return await walk.whole(model, (done) => {
      context.progress({ stage, done, total, unit: 'steps' });
    });
  } finally {
    await walk.dispose();
  }
}

/** Repairs one sublayer and keeps what is better; undefined where it cannot be trained. */
async function repairOne(
  setup: RepairSetup,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
  slice: SlicePair,
  store: RepairStore,
  context: JobContext,
): Promise<SliceRecord | undefined> {
  const sublayer = setup.student.summary.sublayers[index]?.id ?? '';
  const found = await repairFrom(sublayer, setup, index, forms, slice, context);
  if (found === undefined) {
    return undefined;
  }
  const { numbers, ...errors } = found;
  const record = { sublayer, repaired: numbers !== undefined, ...errors };
  const stored = new Map<string, MatrixEncoding<TensorData>>();
  for (const [id, form] of numbers === undefined ? [] : forms) {
    stored.set(id, await withNumbers(form, numbers ?? new Map()));
  }
  await store.add(record, stored);
  return record;
}

/**
 * Graphs of other tools hold operators that have no gradient. What lies in front of one cannot be trained:
 * layers are left out from the first on, until those that are left can be.
 */
async function repairFrom(
  sublayer: string,
  { student, settings }: RepairSetup,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
  slice: SlicePair,
  context: JobContext,
): Promise<RepairedSlice | undefined> {
  const trained = [...forms];
  const left: string[] = [];
  let reason = '';
  let found: RepairedSlice | undefined;
  while (found === undefined && trained.length > 0) {
    try {
      const { cancellation } = context;
      found = await repairSlice(student, index, new Map(trained), slice, settings, cancellation);
    } catch (error) {
      if (student.emitter !== undefined || !(error instanceof UserError)) {
        throw error;
      }
      reason = reason === '' ? error.message : reason;
      left.push(...trained.splice(0, 1).map(([id]) => id));
    }
  }
  if (left.length > 0) {
    context.warn(say`${sublayer}: ${left.join(', ')} cannot be trained. ${reason}`);
  }
  return found;
}

function formsOf(
  model: LayeredModel,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
): Map<string, MatrixEncoding> {
  return new Map(
    model.linearLayers(index).flatMap(({ id }) => {
      const form = forms.get(id);
      return form === undefined ? [] : [[id, form] as const];
    }),
  );
}

function lost(name: string): never {
  throw new Error(`the state has no value named ${name}`);
}
