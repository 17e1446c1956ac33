import { basename, dirname, join, resolve } from 'node:path';
import { version } from '../../../../package.json';
import type { TensorData } from '../../checkpoints/tensor-data';
import type { CalibrationRequest } from '../../data/calibration';
import { loadModelInputs } from '../../data/model-inputs';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { formParameters, formTensors } from '../../models/forms/form-facts';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, MatrixForm } from '../../models/matrix-form';
import type { DeviceChoice, DeviceName } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { compressMatrix } from '../../tensornet/compress-matrix';
import type { CompressionChoice } from '../../tensornet/compression-choice';
import { compressionMethods, requireFit, variantOf } from '../../tensornet/compression-methods';
import { MatrixProducts } from '../../tensornet/matrix-products';
import { reconstruct } from '../../tensornet/reconstruct';
import { floatData } from '../../tensornet/tensor-values';
import { checkChanges } from '../changes';
import { matrixChanges } from '../matrix-changes';
import type { DialectName } from '../dialects';
import { chooseForm } from '../output-forms';
import type { OutputFormat, PruneResult } from '../prune-result';
import { openSource } from '../prune-source';
import { writeModel } from '../write-model';
import { CalibrationPass } from './calibration-pass';
import { FormStore } from './form-store';
import type { CompressedLayer, LayerRecord } from './form-store';
import { layersOfChoices } from './layer-choices';

/** A text or examples, and the text that comes with Espalier for where no file is named. */
export interface CompressCalibration {
  readonly request: CalibrationRequest;
  /** Path of that text. */
  readonly bundledText: string;
}

/** What choices of methods and levels leave open. */
export interface CompressionSettings {
  /** What variants that look at inputs are calibrated with; they are the usual ones where it is given. */
  readonly calibration?: CompressCalibration;
  /** How whole numbers in blocks are run; MatMulNBits when absent. */
  readonly run?: 'matmul-nbits' | 'qdq';
  /** How matrix product operators are run; contracted when absent. */
  readonly mpoRun?: 'contracted' | 'chained';
  /** How factors and cores are stored; in 16 bits where the source's weights are when absent. */
  readonly dtype?: 'F32' | 'F16';
  readonly seed?: number;
}

/** What is to be compressed how, and where the result goes. */
export interface CompressRequest extends CompressionSettings {
  readonly modelPath: string;
  readonly choices: readonly CompressionChoice[];
  /** Ids of sublayers and experts that are removed as well. */
  readonly removed?: readonly string[];
  /** The new folder. */
  readonly out: string;
  /** The model's own form when absent. */
  readonly format?: OutputFormat;
  readonly dialect?: DialectName;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** What compressing a model did. */
export interface CompressResult extends PruneResult {
  readonly layers: readonly LayerRecord[];
}

/**
 * Compresses linear layers of a model, removes sublayers where asked, and writes the result to a new
 * folder, checked as {@link writeModel} says. A job that was stopped goes on behind the last layer.
 * @throws UserError, or CancelledError; the source and what stood at `out` are then as before.
 */
export async function compressModel(
  request: CompressRequest,
  context: JobContext,
): Promise<CompressResult> {
  const { modelPath, removed = [], choices, out } = request;
  const source = await openSource(modelPath);
  const { model } = source;
  const chosen = layersOfChoices(model, choices, removed);
  const isCalibrated = request.calibration !== undefined;
  for (const { layer, choice } of chosen.values()) {
    requireFit(layer, choice, isCalibrated);
  }
  // Asked before any work; how a matrix is compressed makes no difference here.
  const stands = [...chosen.values()].map(
    ({ layer }) => [layer.id, standIn(layer, request)] as const,
  );
  const changes = checkChanges(model.summary, removed, matrixChanges(model, new Map(stands)));
  const { format = source.forms[0]?.format, dialect } = request;
  await chooseForm(source, changes, {
    ...(format === undefined ? {} : { format }),
    ...(dialect === undefined ? {} : { dialect }),
  });
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const store = await FormStore.open(scratchFolder(out), identify(request, model));
  try {
    await compressLayers(request, model, chosen, store, device, context);
    const examples = request.calibration?.request.file;
    const layers: CompressedLayer[] = [];
    for (const { layer } of chosen.values()) {
      layers.push(await store.read(layer));
    }
    const result = await writeModel(
      {
        modelPath,
        removed,
        matrices: new Map(layers.map(({ tensor, form }) => [tensor, form])),
        out,
        ...(format === undefined ? {} : { format }),
        ...(dialect === undefined ? {} : { dialect }),
        overwrite: request.overwrite,
        device,
        memoryBytes: request.memoryBytes,
        ...(examples === undefined ? {} : { examples }),
      },
      context,
    );
    await store.remove();
    return { ...result, layers: layers.map(({ form: _, ...record }) => record) };
  } finally {
    await store.removeIfEmpty();
  }
}

/** Where forms are kept until the result has been written. */
export function scratchFolder(out: string): string {
  const path = resolve(out);
  return join(dirname(path), `.${basename(path)}.espalier-forms`);
}

/** A form that is known before anything is computed, of the kind that the dialect asks for. */
function standIn(layer: LinearLayer, { dialect }: CompressRequest): MatrixForm {
  const { weight } = layer;
  return dialect === 'dense'
    ? { kind: 'dense', weight }
    : { kind: 'int8', quants: weight, scales: weight };
}

/** All that the forms depend on. */
function identify(request: CompressRequest, model: LayeredModel): string {
  const { choices, calibration, run, mpoRun, seed, dialect } = request;
  return JSON.stringify({
    compress: choices,
    model: model.summary.fingerprint,
    calibration: calibration?.request,
    run,
    mpoRun,
    dtype: dtypeOf(request, model),
    dense: dialect === 'dense',
    seed,
    version,
  });
}

/** In 16 bits where most of the source's bytes are. */
function dtypeOf({ dtype }: CompressRequest, { summary }: LayeredModel): 'F32' | 'F16' {
  const { F32 = 0, F16 = 0, BF16 = 0 } = summary.dtypes as Partial<Record<string, number>>;
  return dtype ?? (F16 + BF16 > F32 ? 'F16' : 'F32');
}

type Chosen = ReadonlyMap<
  string,
  { readonly layer: LinearLayer; readonly choice: CompressionChoice }
>;

/** Puts the form of every chosen layer into the store, sublayer by sublayer. */
async function compressLayers(
  request: CompressRequest,
  model: LayeredModel,
  chosen: Chosen,
  store: FormStore,
  device: DeviceName,
  context: JobContext,
): Promise<void> {
  const isCalibrated = request.calibration !== undefined;
  const todo = [...chosen.values()].filter(({ layer }) => !store.has(layer.id));
  const needy = todo.filter(({ choice }) =>
    compressionMethods[choice.method].needsCalibration(variantOf(choice, isCalibrated)),
  );
  const pass =
    needy.length === 0 || request.calibration === undefined
      ? undefined
      : await startPass(request, request.calibration, model, device, context);
  const products = new MatrixProducts(device, request.memoryBytes);
  const settings = {
    products,
    dtype: dtypeOf(request, model),
    ...(request.run === undefined ? {} : { run: request.run }),
    ...(request.mpoRun === undefined ? {} : { mpoRun: request.mpoRun }),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
  };
  const ids = new Set(needy.map(({ layer }) => layer.id));
  const last = Math.max(-1, ...needy.map(({ layer }) => layer.sublayer));
  let done = chosen.size - todo.length;
  try {
    for (const index of model.summary.sublayers.keys()) {
      const here = todo.filter(({ layer }) => layer.sublayer === index);
      const statistics = index <= last ? await pass?.through(index, ids) : undefined;
      for (const { layer, choice } of here) {
        await checkpoint(context.cancellation);
        const stage = `Compressing ${layer.id}`;
        context.progress({ stage, done, total: chosen.size, unit: 'steps' });
        const seen = statistics?.get(layer.id);
        const compressed = await compressMatrix(
          seen === undefined ? settings : { ...settings, statistics: seen },
          layer,
          { ...choice, variant: variantOf(choice, isCalibrated) },
        );
        const form =
          request.dialect === 'dense'
            ? await densified(products, compressed.form, settings.dtype)
            : compressed.form;
        const { error, outputError } = compressed;
        await store.add(
          {
            tensor: layer.id,
            method: choice.method,
            level: choice.level,
            variant: variantOf(choice, isCalibrated),
            ...(choice.then === undefined ? {} : { then: choice.then }),
            parameters: formParameters(form),
            bytes: formTensors<TensorData>(form).reduce((sum, { bytes }) => sum + bytes.length, 0),
            error,
            ...(outputError === undefined ? {} : { outputError }),
          },
          form,
        );
        done++;
      }
    }
    context.progress({ stage: 'Compressing layers', done, total: chosen.size, unit: 'steps' });
  } finally {
    await products.dispose();
    await pass?.dispose();
  }
}

async function startPass(
  { seed = 0, memoryBytes, removed = [] }: CompressRequest,
  { request, bundledText }: CompressCalibration,
  model: LayeredModel,
  device: DeviceName,
  context: JobContext,
): Promise<CalibrationPass> {
  const { inputs, warnings } = await loadModelInputs(request, model, bundledText, seed);
  for (const warning of warnings) {
    context.warn(warning);
  }
  return CalibrationPass.start(model, removed, inputs, { device, memoryBytes }, context);
}

/** The values of a form as a dense matrix. */
async function densified(
  products: MatrixProducts,
  form: MatrixForm<TensorData>,
  dtype: 'F32' | 'F16',
): Promise<MatrixForm<TensorData>> {
  const { count, length, numbers } = await reconstruct(products, form);
  return { kind: 'dense', weight: floatData([count, length], numbers, dtype) };
}
