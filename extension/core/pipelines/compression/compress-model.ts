import type { OutputFormat } from '../../export/output-formats';
import { isDeepStrictEqual } from 'node:util';
import { version } from '../../../../package.json';
import type { TensorData } from '../../checkpoints/lazy-tensor';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { workFolder } from '../../jobs/work-folder';
import { encodingParameters, encodingTensors } from '../../models/encodings/encoding-facts';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding, EmbeddingOrHead } from '../../models/matrix-encoding';
import type { DeviceChoice, DeviceName } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { compressMatrix } from '../../tensornet/compress-matrix';
import type { CompressedMatrix } from '../../tensornet/compress-matrix';
import type { CompressionChoice } from '../../tensornet/compression-choice';
import type { CompressionContext } from '../../tensornet/compression-context';
import {
  compressionMethods,
  requireFit,
  resolveVariant,
} from '../../tensornet/compression-methods';
import { costsInFolder, chooseMpoRun } from '../../tensornet/costs/machine-costs';
import type { MachineCosts, MpoRunChoice } from '../../tensornet/costs/machine-costs';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { reconstruct } from '../../tensornet/reconstruct';
import { storageDtype } from '../../tensornet/compression-context';
import { floatData } from '../../tensornet/tensor-values';
import { checkChanges, excludePatched, withChanges } from '../../export/changes';
import type { Patches } from '../../export/changes';
import { matrixChanges, placeholderEncodings } from '../../export/matrix-changes';
import type { LayoutName } from '../../export/hugging-face/layouts';
import { requireOutput } from '../../export/output-folder';
import { chooseOutput } from '../../export/output-options';
import type { PruneResult } from '../prune-result';
import { requireAble } from '../../models/capability';
import type { OpenedModel } from '../../models/opened-model';
import { writeSource } from '../../export/write-source';
import { writeModel } from '../write-model';
import { FormStore } from './form-store';
import type { CompressedLayer, LayerRecord } from './form-store';
import { isInSublayer, isOutside, chosenLayers } from './layer-choices';
import type { ChosenMatrix, ChosenEmbeddingOrHead } from './layer-choices';
import { startCalibration } from './start-calibration';
import type { CompressCalibration, StartedCalibration } from './start-calibration';
import { say } from '../../message';
import type { Message } from '../../message';

/** Measured costs that decide how matrix product operators are run. */
export interface MpoCosts {
  /** A folder with a file for each device. */
  readonly folder: string;
  /** Rows that most products have: 1 in the generation of text. */
  readonly rows: number;
}

/** Settings for values that the choices don't specify. */
export interface CompressionSettings {
  /** Calibration for methods that use inputs. If given, calibrated methods are the default. */
  readonly calibration?: CompressCalibration;
  /** Operators for int4 and int8 blocks; MatMulNBits if absent. */
  readonly run?: 'matmul-nbits' | 'qdq';
  /**
   * Execution of matrix product operators; if absent, contracted, or the faster one according to
   * `costs`.
   */
  readonly mpoRun?: 'contracted' | 'chained';
  /** Store for the costs of this machine, which are measured if unknown. */
  readonly costs?: MpoCosts;
  /** Type of factors and cores; if absent, 16 bits if the source's weights have 16 bits. */
  readonly dtype?: 'F32' | 'F16';
  readonly seed?: number;
}

/** Layers to compress, the methods, and the output folder. */
export interface CompressRequest extends CompressionSettings {
  readonly model: OpenedModel;
  readonly choices: readonly CompressionChoice[];
  /** Ids of sublayers and experts that are removed as well. */
  readonly removed?: readonly string[];
  /** Patches by the ids of the sublayers that they replace; those count as removed. */
  readonly patches?: Patches;
  /** Path of the new folder. */
  readonly out: string;
  /** Output format; by default that of the model. */
  readonly format?: OutputFormat;
  readonly layout?: LayoutName;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Request without the patched sublayers among the removed ones. */
type SettledRequest = CompressRequest & Required<Pick<CompressRequest, 'removed' | 'patches'>>;

/** Result of compressing a model. */
export interface CompressResult extends PruneResult {
  readonly layers: readonly LayerRecord[];
}

/**
 * Compresses linear layers of a model, removes sublayers if requested, and writes the result to a
 * new folder, checked as described at {@link writeModel}. A stopped job resumes after its last
 * layer.
 * @throws UserError, or CancelledError; the source and the previous contents of `out` are then
 * unchanged.
 */
export async function compressModel(
  asked: CompressRequest,
  context: JobContext,
): Promise<CompressResult> {
  const { choices, out, patches = new Map() } = asked;
  const removed = excludePatched(asked.removed ?? [], patches);
  const request: SettledRequest = { ...asked, removed, patches };
  const { model, capabilities, path } = asked.model;
  requireAble(capabilities.compress, path);
  const source = writeSource(asked.model);
  await requireOutput(out, source.path, asked.overwrite);
  const chosen = chosenLayers(model, choices, [...removed, ...patches.keys()]);
  const isCalibrated = request.calibration !== undefined;
  for (const { layer, choice } of chosen.values()) {
    requireFit(layer, choice, isCalibrated);
  }
  const shared = sharedHead(chosen);
  // Asked before any work; how a matrix is compressed makes no difference here.
  const stands = placeholderEncodings(
    [...chosen.values()].map(({ layer }) => layer),
    (id) => id === shared?.layer.id,
  );
  const forms = matrixChanges(model, stands);
  if (forms.unties) {
    context.warn(
      say`The embedding and head are tied in this model. If they are compressed differently, both are stored, which takes more bytes.`,
    );
  }
  const changes = checkChanges(model.summary, removed, forms, patches);
  const { format = asked.model.format, layout } = request;
  await chooseOutput(source, changes, {
    format,
    ...(layout === undefined ? {} : { layout }),
  });
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const store = await FormStore.open(workFolder(out, 'compress'), identify(request, model));
  try {
    const own = new Map([...chosen].filter(([, one]) => one !== shared));
    await compressLayers(request, model, own, store, device, context);
    const examples = request.calibration?.request.file;
    const layers: CompressedLayer[] = [];
    for (const { layer } of own.values()) {
      layers.push(await store.read(layer));
    }
    if (shared !== undefined) {
      layers.push(...layers.flatMap((one) => withHead(one, shared.layer)));
    }
    const result = await writeModel(
      {
        model: asked.model,
        removed,
        matrices: new Map(layers.map(({ record, form }) => [record.tensor, form])),
        patches,
        out,
        format,
        ...(layout === undefined ? {} : { layout }),
        overwrite: request.overwrite,
        device,
        memoryBytes: request.memoryBytes,
        ...(examples === undefined ? {} : { examples }),
      },
      context,
    );
    await store.remove();
    return { ...result, layers: layers.map(({ record }) => record) };
  } finally {
    await store.removeIfEmpty();
  }
}

/** Everything that the encodings depend on. */
function identify(request: SettledRequest, model: LayeredModel): string {
  const { choices, removed, patches, calibration, run, mpoRun, costs, seed, layout } = request;
  return JSON.stringify({
    compress: choices,
    removed,
    patches: [...patches].map(([id, { program, tensors }]) => [id, program, tensors]),
    model: model.summary.fingerprint,
    calibration: calibration?.request,
    run,
    mpoRun,
    rows: costs?.rows,
    dtype: request.dtype ?? storageDtype(model.summary),
    dense: layout === 'dense',
    seed,
    version,
  });
}

type Chosen = ReadonlyMap<string, ChosenMatrix>;

/** The tied LM head, if the embedding and the head are compressed alike. */
function sharedHead(chosen: Chosen): ChosenEmbeddingOrHead | undefined {
  return [...chosen.values()].filter(isOutside).find(({ layer, choice }) => {
    const { place, tiedTo = '' } = layer;
    const other = chosen.get(tiedTo)?.choice;
    return place === 'head' && isDeepStrictEqual({ ...choice, tensor: tiedTo }, other);
  });
}

/** The form of the embedding once more, for the head that it is. */
function withHead(embedding: CompressedLayer, { id, tiedTo }: EmbeddingOrHead): CompressedLayer[] {
  const { record, form } = embedding;
  return tiedTo === record.tensor
    ? [{ record: { ...record, tensor: id, tiedTo, parameters: 0, bytes: 0 }, form }]
    : [];
}

/** Computes the encoding of every selected layer, sublayer by sublayer, and stores it. */
async function compressLayers(
  request: SettledRequest,
  model: LayeredModel,
  chosen: Chosen,
  store: FormStore,
  device: DeviceName,
  context: JobContext,
): Promise<void> {
  const isCalibrated = request.calibration !== undefined;
  const todo = new Set([...chosen.keys()].filter((id) => !store.has(id)));
  const needsInputs = (choice: CompressionChoice): boolean =>
    compressionMethods[choice.method].needsCalibration(resolveVariant(choice, isCalibrated));
  const inner = [...chosen.values()].filter(isInSublayer);
  const embeddingAndHead = [...chosen.values()].filter(isOutside);
  const needy = inner.filter(({ choice }) => needsInputs(choice));
  const open = needy.filter(({ layer }) => todo.has(layer.id));
  const calibrated = new Set(open.map(({ layer }) => layer.sublayer));
  const last = Math.max(-1, ...calibrated);
  const costs = await costsFor(request, todo, chosen, device, context);
  const products = new MatrixProducts(device, request.memoryBytes);
  const settings = {
    products,
    ...(costs === undefined ? {} : { costs }),
    dtype: request.dtype ?? storageDtype(model.summary),
    ...(request.run === undefined ? {} : { run: request.run }),
    ...(request.mpoRun === undefined ? {} : { mpoRun: request.mpoRun }),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
  };
  const report = (stage: Message): void => {
    const done = chosen.size - todo.size;
    context.progress({ stage, done, total: chosen.size, unit: 'steps' });
  };
  const compress = async (
    { layer, choice }: ChosenMatrix,
    statistics?: CompressionContext['statistics'],
  ): Promise<void> => {
    await checkpoint(context.cancellation);
    report(say`Compressing ${layer.id}`);
    const isInner = 'sublayer' in layer;
    const variant = resolveVariant(choice, isCalibrated && isInner);
    // Maps have many positions: cores are multiplied out, unless something else is asked for.
    const own: CompressionContext =
      isInner && layer.overPositions === true ? { mpoRun: 'contracted', ...settings } : settings;
    const compressed = await compressMatrix(
      statistics === undefined ? own : { ...own, statistics },
      layer,
      { ...choice, variant },
    );
    const isDense = request.layout === 'dense';
    const encoding = isDense
      ? await densified(products, compressed.encoding, settings.dtype)
      : compressed.encoding;
    const mpoRun =
      costs !== undefined && own.mpoRun === undefined && encoding.kind === 'mpo'
        ? chooseMpoRun(costs.machine, encoding, costs.rows)
        : undefined;
    await store.add(describe({ ...choice, variant }, compressed, encoding, mpoRun), encoding);
    todo.delete(layer.id);
  };
  let started: StartedCalibration | undefined;
  try {
    for (const one of embeddingAndHead.filter(({ layer }) => todo.has(layer.id))) {
      await compress(one);
    }
    const { patches } = request;
    const outside = await storedEncodings(embeddingAndHead, store);
    const embedded = withChanges(model, { matrices: outside, patches });
    const { calibration, memoryBytes } = request;
    if (open.length > 0 && calibration !== undefined) {
      const run = { model: embedded, device, memoryBytes };
      started = await startCalibration(run, products, calibration, request, context);
    }
    const pass = started?.pass;
    for (const index of model.summary.sublayers.keys()) {
      const here = inner.filter(({ layer }) => layer.sublayer === index);
      const statistics = calibrated.has(index) ? await pass?.statistics(index) : undefined;
      for (const one of here.filter(({ layer }) => todo.has(layer.id))) {
        await compress(
          one,
          needsInputs(one.choice) ? await statistics?.get(one.layer.id) : undefined,
        );
      }
      if (index < last && here.length > 0) {
        const matrices = new Map([...outside, ...(await storedEncodings(here, store))]);
        const changed = withChanges(model, { matrices, patches });
        await pass?.replace(index, changed.sublayer(index));
      }
    }
    report(say`Compressing layers`);
  } finally {
    await products.dispose();
    await started?.executor.dispose();
  }
}

/** Costs that select the operators, if there are layers to compress and no setting decides. */
async function costsFor(
  { costs, mpoRun, layout }: CompressRequest,
  todo: ReadonlySet<string>,
  chosen: Chosen,
  device: DeviceName,
  context: JobContext,
): Promise<{ readonly machine: MachineCosts; readonly rows: number } | undefined> {
  const hasOperators = [...todo].some((id) => chosen.get(id)?.choice.method === 'mpo');
  if (costs === undefined || mpoRun !== undefined || layout === 'dense' || !hasOperators) {
    return undefined;
  }
  const { folder, rows } = costs;
  const machine = await costsInFolder(folder, device, context);
  return { machine, rows };
}

/** Message about a layer. */
function describe(
  { tensor, method, setting, variant = '', then }: CompressionChoice,
  { error, outputError }: CompressedMatrix,
  form: MatrixEncoding<TensorData>,
  mpoRun: MpoRunChoice | undefined,
): LayerRecord {
  return {
    tensor,
    method,
    setting,
    variant,
    ...(then === undefined ? {} : { then }),
    parameters: encodingParameters(form),
    bytes: encodingTensors<TensorData>(form).reduce((sum, { bytes }) => sum + bytes.length, 0),
    error,
    ...(outputError === undefined ? {} : { outputError }),
    ...(mpoRun === undefined ? {} : { mpoRun }),
  };
}

/** Stored encodings, on which later layers are calibrated. */
async function storedEncodings(
  chosen: readonly ChosenMatrix[],
  store: FormStore,
): Promise<Map<string, MatrixEncoding>> {
  const forms = new Map<string, MatrixEncoding>();
  for (const { layer } of chosen) {
    forms.set(layer.id, (await store.read(layer)).form);
  }
  return forms;
}

/** Values of an encoding as a dense matrix. */
async function densified(
  products: MatrixProducts,
  form: MatrixEncoding<TensorData>,
  dtype: 'F32' | 'F16',
): Promise<MatrixEncoding<TensorData>> {
  const { count, length, numbers } = await reconstruct(products, form);
  return { kind: 'dense', weight: floatData([count, length], numbers, dtype) };
}
