import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { RemainingParts } from '../../jobs/time-left';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { UserError } from '../../user-error';
import { repairSlice } from './repair-slice';
import type { RepairedSlice } from './repair-slice';
import type { RepairStore, SliceRecord } from './repair-store';
import { shareSlices } from './share-slices';
import type { SliceSharing } from './share-slices';
import type { SlicePair } from './graph-slice';
import { sublayerEncodings } from './trained-forms';
import { Walk } from './walk';
import type { RepairSetup } from './walk';
import { say } from '../../message';
import type { Message } from '../../message';

export interface RepairOutcome {
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly slices: readonly SliceRecord[];
  /** {@link outputDistance} on held-out text. */
  readonly lossBefore: number;
  readonly lossAfter: number;
}

/**
 * Repairs a model slice by slice: every sublayer with trained encodings learns to map the student's residual stream,
 * after the already repaired sublayers, to the teacher's. Only the states of one boundary are in memory, so a model of
 * any size can be repaired.
 * @param store finished sublayers of an earlier run are taken from there
 */
export async function repairSlices(
  setup: RepairSetup,
  store: RepairStore,
  context: JobContext,
): Promise<RepairOutcome> {
  const { student, forms } = setup;
  const { sublayers } = student.summary;
  const lossBefore = await measureBefore(setup, context);
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  const walk = new Walk(setup, pause);
  const open = sublayers.filter(({ id }) => store.recordOf(id) === undefined);
  const ahead = new RemainingParts(new Map(open.map(({ id, parameters }) => [id, parameters])));
  const report = (stage: Message, done: number): void => {
    const { secondsLeft } = ahead;
    context.progress({ stage, done, total: sublayers.length, unit: 'steps', secondsLeft });
  };
  try {
    await walk.start();
    const repaired = new Map<string, MatrixEncoding>();
    const slices: SliceRecord[] = [];
    for (const [index, { id }] of sublayers.entries()) {
      report(say`Repairing ${id}`, index);
      const slice = await walk.slice(index);
      const own = sublayerEncodings(student, index, forms);
      const record =
        own.size === 0
          ? undefined
          : (store.recordOf(id) ?? (await repairOne(setup, index, own, slice, store, context)));
      const better =
        record?.repaired === true
          ? await store.loadForms(id, own)
          : new Map<string, MatrixEncoding>();
      better.forEach((form, layer) => repaired.set(layer, form));
      await walk.advance(index, better.size === 0 ? student : student.withMatrices(better));
      slices.push(...(record === undefined ? [] : [record]));
      ahead.finish(id);
    }
    warnDiverged(slices, context);
    return { forms: repaired, slices, lossBefore, lossAfter: await walk.loss() };
  } finally {
    await walk.dispose();
  }
}

/**
 * Repairs a model slice by slice, each on the teacher's states before it instead of the student's. Slices are
 * independent, so they can be distributed.
 */
export async function repairSlicesApart(
  setup: RepairSetup,
  sharing: SliceSharing,
  store: RepairStore,
  context: JobContext,
): Promise<RepairOutcome> {
  const { student } = setup;
  const lossBefore = await measureBefore(setup, context);
  const parts = student.summary.sublayers
    .map(({ id, parameters }, index) => {
      return { id, index, parameters, own: sublayerEncodings(student, index, setup.forms) };
    })
    .filter(({ own }) => own.size > 0);
  const open = parts.filter(({ id }) => store.recordOf(id) === undefined);
  const ahead = new RemainingParts(new Map(open.map(({ id, parameters }) => [id, parameters])));
  let done = parts.length - open.length;
  const report = (): void => {
    const { secondsLeft } = ahead;
    const stage = say`Repairing sublayers`;
    context.progress({ stage, done, total: parts.length, unit: 'steps', secondsLeft });
  };
  report();
  if (open.length > 0) {
    await shareSlices(sharing, setup, context, async (ask) => {
      const answers = open.map(async ({ id, index, own }) => {
        const { numbers, ...errors } = await ask(index);
        const found = numbers === null ? undefined : new Map(Object.entries(numbers));
        await keep(id, { numbers: found, ...errors }, own, store);
        ahead.finish(id);
        done++;
        report();
      });
      await Promise.all(answers);
    });
  }
  const repaired = new Map<string, MatrixEncoding>();
  const slices: SliceRecord[] = [];
  for (const { id, own } of parts) {
    const record = store.recordOf(id);
    slices.push(...(record === undefined ? [] : [record]));
    if (record?.repaired === true) {
      (await store.loadForms(id, own)).forEach((form, layer) => repaired.set(layer, form));
    }
  }
  warnDiverged(slices, context);
  const lossAfter = await measureLoss(setup, repaired, say`Measuring the distance after`, context);
  return { forms: repaired, slices, lossBefore, lossAfter };
}

function warnDiverged(slices: readonly SliceRecord[], context: JobContext): void {
  const ids = slices.flatMap(({ sublayer, diverged }) => (diverged ? [sublayer] : []));
  if (ids.length > 0) {
    context.warn(
      say`${ids.join(', ')}: training diverged (NaN or infinity). The best weights so far are kept. Choose a smaller learning rate (--rate).`,
    );
  }
}

/** {@link outputDistance} before training; the training after it takes most of the time. */
export async function measureBefore(setup: RepairSetup, context: JobContext): Promise<number> {
  const first: JobContext = {
    ...context,
    progress: (progress) => {
      context.progress({ ...progress, moreFollows: true });
    },
  };
  return measureLoss(setup, new Map(), say`Measuring the distance before`, first);
}

/** {@link outputDistance} on held-out text, with other encodings of the student. */
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

/** Repairs one sublayer and stores it if it is better; undefined if it can't be trained. */
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
  return found === undefined ? undefined : keep(sublayer, found, forms, store);
}

/** Stores the result of a sublayer. */
async function keep(
  sublayer: string,
  { numbers, ...errors }: RepairedSlice,
  forms: ReadonlyMap<string, MatrixEncoding>,
  store: RepairStore,
): Promise<SliceRecord> {
  const record = { sublayer, repaired: numbers !== undefined, ...errors };
  await store.add(record, forms, (name) => Promise.resolve(numbers?.get(name)));
  return record;
}

/**
 * Trains the layers that can be trained. Graphs of other tools may contain operators without gradient, and layers
 * before such an operator can't be trained: excludes layers from the first on until the others can be.
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
