import * as v from 'valibot';
import {
  modelInputSchema,
  portableInput,
  workItemKey,
  hashSetup,
  readMessage,
  kernelProbe,
} from '../../distribute/work-item';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import type { OpenTaskRunner, PoolContext } from '../../distribute/with-workers';
import { withWorkers } from '../../distribute/with-workers';
import { formatBytes } from '../../format';
import { say } from '../../message';
import type { OpenedModel } from '../../models/opened-model';
import { deviceNames } from '../../runtime/device';
import { UserError } from '../../user-error';
import { sublayerEncodings, formsToTrain, trainedLayers } from './trained-forms';
import type { TrainedLayers } from './trained-forms';
import type { RepairSetup, Pause } from './walk';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { stream } from '../../models/model-emitter';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import { repairSlice } from './repair-slice';
import { trainedTensors } from './trainable-encoding';
import { embedAll, splitPair, nextTeacherIndex, TeacherWalk } from './walk';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const dataSchema = v.object({
  trains: v.picklist(trainedLayers),
  places: v.array(count),
  train: v.array(modelInputSchema),
  heldOut: v.array(modelInputSchema),
  settings: v.object({
    ...{ epochs: count, patience: count, seed: count },
    batch: v.pipe(count, v.minValue(1)),
    rate: v.number(),
  }),
  device: v.picklist(deviceNames),
  /** Memory limit of the whole job. */
  memoryBytes: v.number(),
});

/** Setup for distributing the sublayers of a repair. */
export interface SliceSharing {
  readonly engine: Engine;
  /** Key of the job. */
  readonly key: string;
  readonly student: OpenedModel;
  readonly teacher: OpenedModel;
  readonly trains: TrainedLayers;
}

/** Request to train a sublayer on the teacher's states. */
const sliceRequestSchema = v.object({
  /** Index of the student's sublayer. */
  sublayer: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
type SliceRequest = v.InferOutput<typeof sliceRequestSchema>;

/** Result, see {@link RepairedSlice}. */
interface SliceResult {
  /** Null if no values were better. */
  readonly numbers: Readonly<Record<string, Float32Array>> | null;
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly epochs: number;
  readonly diverged: boolean;
}

const trainedIn = (forms: ReadonlyMap<string, MatrixEncoding>) =>
  [...forms.values()].flatMap(trainedTensors);

/** Schema of the result for a sublayer with these encodings; checks the size of each tensor. */
function sliceResultSchema(
  forms: ReadonlyMap<string, MatrixEncoding>,
): v.GenericSchema<unknown, SliceResult> {
  const tensors = Object.fromEntries(
    trainedIn(forms).map(({ name, shape }) => [
      name,
      v.pipe(v.instance(Float32Array), v.length(elementCount(shape))),
    ]),
  );
  return v.object({
    numbers: v.nullable(v.strictObject(tensors)),
    ...{
      errorBefore: v.number(),
      errorAfter: v.number(),
      epochs: v.number(),
      diverged: v.boolean(),
    },
  });
}

/** Maximum size in bytes of the result of such a sublayer. */
const resultBytes = (forms: ReadonlyMap<string, MatrixEncoding>): number =>
  trainedIn(forms).reduce((sum, { shape }) => sum + elementCount(shape), 0) *
  Float32Array.BYTES_PER_ELEMENT;

/** Trains sublayers on the teacher's states, so that they are independent; keeps the states for the next sublayer. */
class SliceWork {
  private readonly teacher: TeacherWalk;
  private readonly student: LayeredExecutor;
  /** States before the student's first sublayer. */
  private embedded: readonly HiddenState[] | undefined;

  /** @param threads of each session; one per core by default */
  public constructor(
    private readonly setup: RepairSetup,
    private readonly threads: number | undefined,
  ) {
    const { student, teacher, train, heldOut, device, memoryBytes } = setup;
    const executor = new LayeredExecutor(teacher, device, memoryBytes / 2, { threads });
    this.teacher = new TeacherWalk(executor, [...train, ...heldOut]);
    this.student = new LayeredExecutor(student, device, memoryBytes / 2, { threads });
  }

  public async do({ sublayer }: SliceRequest, { cancellation }: TaskJob): Promise<SliceResult> {
    const { setup, threads } = this;
    const { student, settings } = setup;
    const forms = sublayerEncodings(student, sublayer, setup.forms);
    if (forms.size === 0) {
      throw new Error(`nothing of sublayer ${sublayer} is trained`);
    }
    const pause: Pause = async () => checkpoint(cancellation);
    const states = await this.statesBefore(sublayer, pause);
    const targets = await this.teacher.targets(nextTeacherIndex(setup, sublayer), pause);
    const slice = splitPair(states, targets, setup);
    const { numbers, ...errors } = await repairSlice(
      ...([student, sublayer, forms, slice, settings, cancellation] as const),
      threads,
    );
    return { numbers: numbers === undefined ? null : Object.fromEntries(numbers), ...errors };
  }

  public async probe(): Promise<readonly number[]> {
    return kernelProbe(this.teacher.executor, this.setup.train[0]);
  }

  public async dispose(): Promise<void> {
    await this.teacher.executor.dispose();
    await this.student.dispose();
  }

  /** The teacher's states under the student's names, except at the student's first sublayer. */
  private async statesBefore(index: number, pause: Pause): Promise<readonly HiddenState[]> {
    const { places, student, train, heldOut } = this.setup;
    this.embedded ??= await embedAll(this.student, [...train, ...heldOut], pause);
    const { embedded } = this;
    if (index === 0) {
      return embedded;
    }
    const names = student.emitter?.stateNames(index);
    const states = await this.teacher.before(places[index] ?? 0, pause);
    return states.flatMap(({ values }, i) => {
      const side = embedded[i]?.side;
      const own = names?.flatMap((name) => {
        // A block without attention starts at the residual stream.
        const value = values[name] ?? values[stream];
        return value === undefined ? [] : [[name, value] as const];
      });
      // Models of other kinds have one name per value.
      const named = own === undefined ? values : Object.fromEntries(own);
      return side === undefined ? [] : [{ values: named, side }];
    });
  }
}

/** Trains a sublayer, in this process or on a worker. */
type Ask = (sublayer: number) => Promise<SliceResult>;

/**
 * Distributes sublayers that are trained on the teacher's states among the workers of an engine and this process.
 * @throws UserError if the result of a sublayer is too large to send
 */
export async function shareSlices(
  { engine, key, student, teacher, trains }: SliceSharing,
  setup: RepairSetup,
  context: PoolContext,
  action: (ask: Ask) => Promise<void>,
): Promise<void> {
  const { places, train, heldOut, settings, device, memoryBytes } = setup;
  const shared: WorkSetup = {
    ...{ kind: 'repair', key: hashSetup(key, device) },
    files: {
      model: { fingerprint: student.summary.fingerprint, path: student.path },
      teacher: { fingerprint: teacher.summary.fingerprint, path: teacher.path },
    },
    data: {
      ...{ trains, places: [...places], settings, device, memoryBytes },
      train: train.map(portableInput),
      heldOut: heldOut.map(portableInput),
    } satisfies v.InferInput<typeof dataSchema>,
  };
  const { threads, memoryShare, mostResultBytes = Number.POSITIVE_INFINITY } = engine;
  const work = new SliceWork({ ...setup, memoryBytes: memoryBytes * memoryShare }, threads);
  try {
    await withWorkers(engine, shared, createTaskRunner(work), context, async (pieces) =>
      action(async (sublayer) => {
        const { id = '', parameters = 1 } = setup.student.summary.sublayers[sublayer] ?? {};
        const forms = sublayerEncodings(setup.student, sublayer, setup.forms);
        const bytes = resultBytes(forms);
        if (bytes > mostResultBytes) {
          throw new UserError(
            'result-too-large-for-queue',
            say`${id} trains ${formatBytes(bytes)}, more than a queue accepts (${formatBytes(mostResultBytes)}).`,
            { field: 'queue', remedy: say`Use several processes (--workers) instead.` },
          );
        }
        const request: SliceRequest = { sublayer };
        const piece = {
          ...{ key: workItemKey(shared, request), lane: sublayer, cost: parameters, request },
          result: sliceResultSchema(forms),
        };
        return pieces.add(piece).result;
      }),
    );
  } finally {
    await work.dispose();
  }
}

const createTaskRunner = (work: SliceWork) => ({
  do: async (request: unknown, job: Parameters<SliceWork['do']>[1]): Promise<SliceResult> =>
    work.do(readMessage(sliceRequestSchema, request, 'The piece'), job),
  probe: async (): Promise<readonly number[]> => work.probe(),
});

/** Opens what a worker trains sublayers with. */
export const openSliceRunner: OpenTaskRunner = async (data, { openModel, threads, ...limits }) => {
  const {
    trains,
    device: asked,
    memoryBytes: whole,
    ...job
  } = readMessage(dataSchema, data, 'What pieces share');
  const { device = asked, memoryBytes = whole * limits.memoryShare } = limits;
  const { model: student } = await openModel();
  const { model: teacher } = await openModel('teacher');
  const forms = formsToTrain(student, trains);
  const work = new SliceWork({ ...job, student, teacher, forms, device, memoryBytes }, threads);
  return { ...createTaskRunner(work), dispose: async () => work.dispose() };
};
