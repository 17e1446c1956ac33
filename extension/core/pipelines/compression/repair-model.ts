import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { CalibrationRequest } from '../../data/calibration';
import { holdOutInputs } from '../../data/hold-out-inputs';
import { loadModelInputs } from '../../data/model-inputs';
import type { JobContext } from '../../jobs/job';
import { workFolder } from '../../jobs/work-folder';
import { storeForms } from '../../models/forms/store-forms';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../models/matrix-encoding';
import { requireAble } from '../../models/capability';
import type { AnyModel, OpenedModel } from '../../models/opened-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { repairEndToEnd, trainsAsWhole } from '../../tensornet/repair/repair-end-to-end';
import type { RepairSettings } from '../../tensornet/repair/repair-settings';
import { repairSlices, measureLoss } from '../../tensornet/repair/repair-slices';
import { RepairStore } from '../../tensornet/repair/repair-store';
import { lossUnitOf } from '../../tensornet/repair/output-distance';
import type { LossUnit } from '../../tensornet/repair/output-distance';
import type { SliceRecord } from '../../tensornet/repair/repair-store';
import { trainedTensors, withNumbers } from '../../tensornet/repair/trainable-encoding';
import { trainedOpsets } from '../../training/onnx-trainable';
import { UserError } from '../../user-error';
import type { PruneResult } from '../prune-result';
import { writeModel } from '../write-model';
import { teacherPlaces } from './teacher-places';
import { say } from '../../message';
import type { Message } from '../../message';

/** Which linear layers are trained: those in another form than dense, or all. */
export const trainedLayers = ['compressed', 'all'] as const;
export type TrainedLayers = (typeof trainedLayers)[number];

/** What to repair, on what, and where the result goes. */
export interface RepairRequest {
  /** A folder that Espalier has compressed or pruned. */
  readonly model: OpenedModel;
  /** The model that it was made from. */
  readonly teacher: OpenedModel;
  /** Text to learn from; its last part is held out. */
  readonly text: CalibrationRequest;
  readonly bundledText: string;
  /** The compressed ones where there are some, else all, when absent. */
  readonly trains?: TrainedLayers;
  readonly settings: RepairSettings;
  /** Whether the whole model is trained at once afterwards; where it can be when absent. */
  readonly endToEnd?: boolean;
  readonly out: string;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** What repair did; losses are distances of outputs on held-out text. */
export interface RepairResult {
  /** Null where the model was not better afterwards: nothing is written then. */
  readonly written: PruneResult | null;
  readonly unit: LossUnit;
  readonly lossBefore: number;
  readonly lossAfter: number;
  readonly slices: readonly SliceRecord[];
}

/**
 * Teaches a compressed model what the original does (distillation), sublayer by sublayer, and writes
 * what is better to a new folder. Goes on where an earlier run of the same job stopped.
 * @throws UserError where there is nothing to train.
 */
export async function repairModel(
  request: RepairRequest,
  context: JobContext,
): Promise<RepairResult> {
  requireAble(request.model.capabilities.repair, request.model.path);
  const { model: student } = request.model;
  const { model: teacher } = request.teacher;
  requireLikes(request.model.model, request.teacher.model, request.endToEnd === true);
  const places = await teacherPlaces(student.summary, teacher.summary);
  const trains = request.trains ?? defaultTrains(student);
  const forms = formsToTrain(student, trains);
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const device = await resolveDevice(request.device, warn);
  const { text, bundledText, settings, memoryBytes, out } = request;
  const loaded = await loadModelInputs(text, student, bundledText, settings.seed);
  loaded.warnings.forEach(warn);
  const {
    train,
    heldOut: [heldOut = []],
  } = holdOutInputs(loaded.inputs, 1, say`Repair needs two sequences at least: one is held out.`);
  const endToEnd = request.endToEnd ?? trainsAsWhole({ student, train, settings }, memoryBytes);
  const folder = workFolder(out, 'repair');
  const identity = { settings, trains, text: loaded.summary.fingerprint };
  const fingerprints = [student.summary.fingerprint, teacher.summary.fingerprint];
  const hash = createHash('sha256').update(JSON.stringify({ identity, fingerprints }));
  const store = await RepairStore.open(folder, hash.digest('hex'));
  const setup = { student, teacher, places, train, heldOut, settings, device, memoryBytes };
  try {
    const sliced = await repairSlices({ ...setup, forms }, store, context);
    const repaired = endToEnd
      ? await together({ ...setup, folder }, forms, sliced, context)
      : sliced;
    const { lossBefore, lossAfter } = repaired;
    const losses = { unit: lossUnitOf(teacher), lossBefore, lossAfter, slices: sliced.slices };
    if (!(lossAfter < lossBefore)) {
      await store.remove();
      return { written: null, ...losses };
    }
    const written = await writeModel(
      {
        model: request.model,
        removed: [],
        matrices: repaired.forms,
        out,
        overwrite: request.overwrite,
        device,
        memoryBytes,
        ...(text.file === undefined ? {} : { examples: text.file }),
      },
      context,
    );
    await store.remove();
    return { written, ...losses };
  } finally {
    await store.removeIfEmpty();
  }
}

/** @throws UserError where one is a graph and the other is not, or for what graphs are not trained with. */
function requireLikes(student: AnyModel, teacher: AnyModel, endToEnd: boolean): void {
  const file = student.summary.path;
  const isDecoder = student.kind === 'decoder';
  if (isDecoder !== (teacher.kind === 'decoder')) {
    throw new UserError(say`An ONNX graph learns from the graph that it was made from.`, {
      file,
      remedy: say`Name that as teacher, or repair the Hugging Face folder and then write it as ONNX.`,
    });
  }
  if (student.kind === 'graph') {
    trainedOpsets(student.source.file.model.opsetImport, file);
  }
  if (!isDecoder && endToEnd) {
    throw new UserError(say`Only decoders of a Hugging Face folder can be trained end to end.`, {
      file,
      field: 'end-to-end',
      remedy: say`Repair it layer by layer only.`,
    });
  }
}

type Setup = Omit<Parameters<typeof repairEndToEnd>[0], 'forms'> & {
  readonly places: readonly number[];
};

/** Trains all repaired forms at once, and takes the result where it is better still. */
async function together(
  setup: Setup,
  forms: ReadonlyMap<string, MatrixEncoding>,
  sliced: Awaited<ReturnType<typeof repairSlices>>,
  context: JobContext,
): Promise<Pick<typeof sliced, 'forms' | 'lossBefore' | 'lossAfter'>> {
  const current = new Map([...forms, ...sliced.forms]);
  const student = setup.student.withMatrices(sliced.forms);
  const numbers = await repairEndToEnd({ ...setup, student, forms: current }, context);
  if (numbers === undefined) {
    return sliced;
  }
  const data = new Map<string, Awaited<ReturnType<typeof withNumbers>>>();
  for (const [id, form] of current) {
    data.set(id, await withNumbers(form, numbers));
  }
  const trained = await storeForms(join(setup.folder, 'together.safetensors'), data);
  const lossAfter = await measureLoss(
    { ...setup, forms: trained },
    trained,
    say`Measuring the loss after`,
    context,
  );
  return lossAfter < sliced.lossAfter
    ? { forms: trained, lossBefore: sliced.lossBefore, lossAfter }
    : sliced;
}

const linearLayersOf = (model: LayeredModel): readonly LinearLayer[] =>
  model.summary.sublayers.flatMap((_, index) => model.linearLayers(index));

const defaultTrains = (student: LayeredModel): TrainedLayers =>
  linearLayersOf(student).some(({ form }) => form !== undefined) ? 'compressed' : 'all';

/**
 * Forms by the ids of their layers; a dense one stands for a weight as it is stored.
 * @throws UserError where there are none.
 */
function formsToTrain(student: LayeredModel, trains: TrainedLayers): Map<string, MatrixEncoding> {
  const { summary } = student;
  const forms = linearLayersOf(student).flatMap((layer): [string, MatrixEncoding][] => {
    const { id, form, weight, transposed } = layer;
    const isPlain = !transposed && ['F32', 'F16', 'BF16'].includes(weight.dtype);
    const dense = trains === 'all' && isPlain ? { kind: 'dense' as const, weight } : undefined;
    const found = form ?? dense;
    return found === undefined || trainedTensors(found).length === 0 ? [] : [[id, found]];
  });
  if (forms.length === 0) {
    throw new UserError(say`The model has no linear layer that could be trained.`, {
      file: summary.path,
      remedy:
        trains === 'all'
          ? say`Repair a folder whose weights are float32, float16 or bfloat16.`
          : say`Train all layers (--train all), or compress the model first.`,
    });
  }
  return new Map(forms);
}
