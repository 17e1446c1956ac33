import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { CalibrationRequest } from '../../data/calibration';
import type { Engine } from '../../distribute/work-item';
import { localOnly } from '../../distribute/with-workers';
import { holdOutInputs } from '../../data/hold-out-inputs';
import { loadModelInputs } from '../../data/model-inputs';
import type { JobContext } from '../../jobs/job';
import { workFolder } from '../../jobs/work-folder';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { idsIn } from '../../models/model-input';
import { requireAble } from '../../models/capability';
import type { AnyModel, OpenedModel } from '../../models/opened-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import {
  repairEndToEnd,
  requireTrainsAsWhole,
  trainsAsWhole,
} from '../../tensornet/repair/repair-end-to-end';
import { defaultRepairText, epochsToRead } from '../../tensornet/repair/repair-settings';
import type { RepairScope, RepairSettings } from '../../tensornet/repair/repair-settings';
import {
  measureBefore,
  measureLoss,
  repairSlices,
  repairSlicesApart,
} from '../../tensornet/repair/repair-slices';
import type { RepairOutcome } from '../../tensornet/repair/repair-slices';
import { RepairStore } from '../../tensornet/repair/repair-store';
import { lossUnit } from '../../tensornet/repair/walk';
import type { LossUnit, RepairSetup } from '../../tensornet/repair/walk';
import type { SliceRecord } from '../../tensornet/repair/repair-store';
import { storeRepaired } from '../../tensornet/repair/trainable-encoding';
import { defaultTrains, formsToTrain } from '../../tensornet/repair/trained-forms';
import type { TrainedLayers } from '../../tensornet/repair/trained-forms';
import { trainedOpsets } from '../../training/onnx-trainable';
import { UserError } from '../../user-error';
import type { PruneResult } from '../prune-result';
import { requireOutput } from '../../export/output-folder';
import { writeSource } from '../../export/write-source';
import { writeModel } from '../write-model';
import { say } from '../../message';
import type { Message } from '../../message';
import type { ModelSummary } from '../../models/model-summary';
import { manifestName } from '../../document-names';
import { readManifest } from '../manifest-file';
import { stepsFrom } from '../source-blocks';

/**
 * States on which each sublayer is trained: the student's, after the sublayers repaired before it,
 * or the teacher's.
 */
export const learnedStates = ['student', 'teacher'] as const;
export type LearnedStates = (typeof learnedStates)[number];

/** Model to repair, training data, and output folder. */
export interface RepairRequest {
  /** A folder that Espalier has compressed or pruned. */
  readonly model: OpenedModel;
  /** Original model. */
  readonly teacher: OpenedModel;
  /** Training text; its last part is held out. */
  readonly text: CalibrationRequest;
  readonly bundledText: string;
  /** The compressed ones where there are some, else all, when absent. */
  readonly trains?: TrainedLayers;
  readonly settings: Omit<RepairSettings, 'epochs'>;
  /** Maximum number of passes over the text. */
  readonly epochs?: number;
  /** Total number of sequences to read if the number of passes isn't given; the default if absent. */
  readonly reads?: number;
  readonly states: LearnedStates;
  /**
   * Engine that shares sublayers trained on the teacher's states; undefined to train them all in
   * this process.
   */
  readonly engine?: Engine | undefined;
  /** Version of Espalier. */
  readonly version: string;
  /** Unit that is trained at a time; if absent, it depends on the model and on memory. */
  readonly scope?: RepairScope;
  /** Scope if layers are compressed and the full model fits into memory; both if absent. */
  readonly compressedScope?: RepairScope;
  readonly out: string;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Training data: number of sequences or examples, and of tokens if they are texts. */
export interface LearnedText {
  readonly train: number;
  readonly heldOut: number;
  /** Tokens in one pass. */
  readonly tokens: number;
  /** Maximum; training stops when the loss no longer improves. */
  readonly passes: number;
}

/** Result of a repair; losses are distances of outputs on held-out text. */
export interface RepairResult {
  /** Null if the model didn't improve; nothing is written then. */
  readonly written: PruneResult | null;
  readonly learned: LearnedText;
  readonly unit: LossUnit;
  readonly lossBefore: number;
  readonly lossAfter: number;
  readonly slices: readonly SliceRecord[];
}

/**
 * Trains a compressed or pruned model to match its original (distillation) and writes it to a new folder if it
 * improved. Resumes an earlier run of the same job.
 * @throws UserError if there is nothing to train
 */
export async function repairModel(
  request: RepairRequest,
  context: JobContext,
): Promise<RepairResult> {
  requireAble(request.model.capabilities.repair, request.model.path);
  const { model: student } = request.model;
  const { model: teacher } = request.teacher;
  await requireOutput(request.out, writeSource(request.model).path, request.overwrite);
  requireLikes(request.model.model, request.teacher.model, request.scope);
  const { states, version } = request;
  requireStates(student, states, request.scope);
  const places = await teacherPlaces(student.summary, teacher.summary);
  const trains = request.trains ?? defaultTrains(request.model);
  requireTrains(request.model, trains);
  const forms = formsToTrain(student, trains);
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const device = await resolveDevice(request.device, warn);
  const { text, bundledText, memoryBytes, out, reads = defaultRepairText.sequences } = request;
  const loaded = await loadModelInputs(text, student, bundledText, request.settings.seed);
  const epochs = request.epochs ?? epochsToRead(loaded.inputs.length, reads);
  const settings = { ...request.settings, epochs };
  loaded.warnings.forEach(warn);
  const {
    train,
    heldOut: [heldOut = []],
  } = holdOutInputs(
    loaded.inputs,
    1,
    'sequences-too-few',
    say`Repair needs at least two sequences: one is held out.`,
  );
  const size = { student, forms, train, settings };
  const fits = trainsAsWhole(size, memoryBytes);
  const scope = request.scope ?? (fits ? chooseScope(request, forms) : 'sublayers');
  if (scope !== 'sublayers') {
    requireTrainsAsWhole(size, memoryBytes);
  }
  const folder = workFolder(out, 'repair');
  const identity = { settings, trains, states, scope, version, text: loaded.summary.fingerprint };
  const fingerprints = [student.summary.fingerprint, teacher.summary.fingerprint];
  const hash = createHash('sha256').update(JSON.stringify({ identity, fingerprints }));
  const key = hash.digest('hex');
  const store = await RepairStore.open(folder, key);
  const setup = { student, teacher, places, train, heldOut, settings, device, memoryBytes };
  try {
    const { engine = localOnly } = request;
    const sharing = { engine, key, student: request.model, teacher: request.teacher, trains };
    const first = scope === 'sublayers' ? context : firstTraining(context);
    const sliced =
      scope === 'model'
        ? await unchanged({ ...setup, forms }, first)
        : states === 'student'
          ? await repairSlices({ ...setup, forms }, store, first)
          : await repairSlicesApart({ ...setup, forms }, sharing, store, first);
    const repaired =
      scope === 'sublayers'
        ? sliced
        : await together(
            { ...setup, folder, saved: store.training, scope },
            forms,
            sliced,
            context,
          );
    const { lossBefore, lossAfter } = repaired;
    const learned = {
      ...{ train: train.length, heldOut: heldOut.length, passes: epochs },
      tokens: train.reduce((sum, input) => sum + (idsIn(input)?.length ?? 0), 0),
    };
    const losses = {
      learned,
      unit: lossUnit(teacher),
      lossBefore,
      lossAfter,
      slices: sliced.slices,
    };
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

/** Context of the first of two trainings, whose time left is not that of the job. */
function firstTraining(context: JobContext): JobContext {
  return {
    ...context,
    progress: (progress) => {
      context.progress({ ...progress, secondsLeft: undefined, moreFollows: true });
    },
  };
}

/** @throws UserError if one is a graph and the other is not, or for what graphs are not trained with. */
function requireLikes(student: AnyModel, teacher: AnyModel, scope: RepairScope | undefined): void {
  const file = student.summary.path;
  const isDecoder = student.kind === 'decoder';
  if (isDecoder !== (teacher.kind === 'decoder')) {
    throw new UserError(
      'teacher-not-original-graph',
      say`An ONNX graph learns from the graph that it was made from.`,
      {
        file,
        remedy: say`Specify that as the teacher, or repair the Hugging Face folder and then write it as ONNX.`,
      },
    );
  }
  if (student.kind === 'graph') {
    trainedOpsets(student.source.file.model.opsetImport, file);
  }
  if (!isDecoder && scope !== undefined && scope !== 'sublayers') {
    throw new UserError(
      'whole-training-unsupported',
      say`Only decoders in Hugging Face folders can be trained as a whole.`,
      { file, field: 'scope', remedy: say`Choose --scope sublayers.` },
    );
  }
}

/** @throws UserError if other layers than routers of a GGUF file are to be trained */
function requireTrains({ format, path }: OpenedModel, trains: TrainedLayers): void {
  if (format === 'gguf' && trains !== 'routers') {
    throw new UserError(
      'gguf-trains-routers-only',
      say`Only the routers of a GGUF file can be trained.`,
      {
        file: path,
        field: 'train',
        remedy: say`Choose --train routers, or repair the Hugging Face folder and convert the result.`,
      },
    );
  }
}

/**
 * Sublayers of a pruned model still match the original, so the full model learns to compensate faster
 * (bench/compactifai/NOTES.md). Training on the teacher's states requires training by sublayer.
 */
function chooseScope(
  { states, compressedScope = 'both' }: RepairRequest,
  forms: ReadonlyMap<string, MatrixEncoding>,
): RepairScope {
  const isPruned = [...forms.values()].every(({ kind }) => kind === 'dense');
  return isPruned ? (states === 'teacher' ? 'both' : 'model') : compressedScope;
}

/** @throws UserError if the teacher's states are not known by the student's names, or nothing learns from them. */
function requireStates(
  student: AnyModel,
  states: LearnedStates,
  scope: RepairScope | undefined,
): void {
  if (states === 'teacher' && scope === 'model') {
    throw new UserError(
      'states-unsupported',
      say`The full model is trained on the teacher's outputs, not its hidden states.`,
      {
        file: student.summary.path,
        field: 'states',
        remedy: say`Remove --states, or add --scope both.`,
      },
    );
  }
  if (states === 'teacher' && student.kind === 'graph') {
    throw new UserError(
      'states-unsupported',
      say`An ONNX graph can't be trained on the states of its teacher.`,
      {
        file: student.summary.path,
        field: 'states',
        remedy: say`Train it on its own states (--states student), with one process.`,
      },
    );
  }
}

/** Outcome of a repair that trained no sublayer. */
async function unchanged(setup: RepairSetup, context: JobContext): Promise<RepairOutcome> {
  const lossBefore = await measureBefore(setup, context);
  return { forms: new Map(), slices: [], lossBefore, lossAfter: lossBefore };
}

type Setup = Omit<Parameters<typeof repairEndToEnd>[0], 'forms'> & {
  readonly places: readonly number[];
  readonly folder: string;
};

/** Trains all repaired encodings together, and keeps the result if it is better. */
async function together(
  setup: Setup,
  forms: ReadonlyMap<string, MatrixEncoding>,
  sliced: Awaited<ReturnType<typeof repairSlices>>,
  context: JobContext,
): Promise<Pick<typeof sliced, 'forms' | 'lossBefore' | 'lossAfter'>> {
  const current = new Map([...forms, ...sliced.forms]);
  const student = setup.student.withMatrices(sliced.forms);
  const trainedNumbers = await repairEndToEnd({ ...setup, student, forms: current }, context);
  if (trainedNumbers === undefined) {
    return sliced;
  }
  const file = join(setup.folder, 'together.safetensors');
  const trained = await storeRepaired(file, current, trainedNumbers);
  const lossAfter = await measureLoss(
    { ...setup, forms: trained },
    trained,
    say`Measuring the distance after`,
    context,
  );
  return lossAfter < sliced.lossAfter
    ? { forms: trained, lossBefore: sliced.lossBefore, lossAfter }
    : sliced;
}

/**
 * For each sublayer of the student, the index of the teacher's sublayer, from the manifests of the steps between them.
 * Without a manifest, both must have the same sublayers.
 * @throws UserError if the student was not made from the teacher, or both are the same
 */
async function teacherPlaces(student: ModelSummary, teacher: ModelSummary): Promise<number[]> {
  if (student.fingerprint === teacher.fingerprint) {
    throw new UserError('teacher-is-student', say`${student.name} can't be its own teacher.`, {
      file: student.path,
      remedy: say`Specify the model that it was compressed or pruned from as the teacher.`,
    });
  }
  const steps = stepsFrom(teacher.fingerprint, await readManifest(student.path));
  let ids = teacher.sublayers.map(({ id }, place) => ({ id, place }));
  for (const { removed, sourceBlocks } of steps ?? []) {
    const removedIds = new Set(removed);
    ids = ids
      .filter(({ id }) => !removedIds.has(id))
      .map(({ id, place }) => ({
        id: id.replace(
          /^block\.(\d+)/,
          (_, block) => `block.${sourceBlocks.indexOf(Number(block))}`,
        ),
        place,
      }));
  }
  const fits =
    ids.length === student.sublayers.length &&
    ids.every(({ id }, i) => id === student.sublayers[i]?.id) &&
    student.hiddenSize === teacher.hiddenSize;
  if (!fits) {
    throw new UserError(
      'teacher-mismatch',
      say`${student.name} was not made from ${teacher.name}.`,
      {
        file: student.path,
        field: manifestName,
        remedy: say`Specify the model that it was compressed or pruned from as the teacher.`,
      },
    );
  }
  return ids.map(({ place }) => place);
}
