import * as v from 'valibot';
import { modelInputSchema, portableInput } from '../../distribute/input-schema';
import { workItemKey, hashSetup } from '../../distribute/work-item';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import type { OpenTaskRunner } from '../../distribute/task-runner';
import { readMessage } from '../../distribute/read-message';
import { withWorkers } from '../../distribute/with-workers';
import type { PoolContext } from '../../distribute/with-workers';
import { formatBytes } from '../../format';
import { say } from '../../message';
import type { OpenedModel } from '../../models/opened-model';
import { deviceNames } from '../../runtime/device';
import { UserError } from '../../user-error';
import { resultBytes, sliceRequestSchema, sliceResultSchema, SliceWork } from './slice-work';
import type { SliceRequest, SliceResult } from './slice-work';
import { sublayerEncodings, formsToTrain, trainedLayers } from './trained-forms';
import type { TrainedLayers } from './trained-forms';
import type { RepairSetup } from './walk';

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
            { field: 'queue', remedy: say`Divide the work among processes (--workers) instead.` },
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
