import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { version } from '../../../package.json';
import { checkpoint } from '../jobs/job';
import { workFolder } from '../jobs/work-folder';
import type { JobContext } from '../jobs/job';
import type { DeviceName } from '../runtime/device';
import type { MatrixEncoding } from '../models/matrix-encoding';
import { UserError } from '../user-error';
import { ByteCopier, writeAll, writeFlushed } from '../export/byte-copier';
import { manifestName } from '../document-names';
import { describeResult } from './manifest';
import type { LayoutName } from '../export/hugging-face/layouts';
import { OutputFolder } from '../export/output-folder';
import type { PruneResult } from './prune-result';
import { roundingWriter } from './rounding/rounding-writer';
import { RoundingStore } from './rounding/rounding-store';
import type { RoundingCalibration } from './compression/start-calibration';
import type { LayeredModel } from '../models/layered-model';
import type { ModelSummary } from '../models/model-summary';
import { explainNothingFreed, freeingNothing } from '../shared-weights';
import type { AnyModel, OpenedModel } from '../models/opened-model';
import { checkChanges, withChanges } from '../export/changes';
import type { Changes, Patches } from '../export/changes';
import { matrixChanges } from '../export/matrix-changes';
import { copySideFile, noSideFiles } from '../export/hugging-face/side-files';
import type { SideFiles } from '../export/hugging-face/side-files';
import { chooseOutput } from '../export/output-options';
import type { OutputOption } from '../export/output-options';
import { writeSource } from '../export/write-source';
import type { WeightWriter } from '../export/weight-writer';
import type { WriteSource } from '../export/write-source';
import type { GgufTypes } from '../export/gguf/choose-types';
import type { OutputFormat } from '../export/output-formats';
import { compareExperts } from '../export/compare-experts';
import {
  compareLogits,
  sourceLogits,
  verificationInput,
  runningError,
  verifyInLlama,
} from '../export/verify';
import type { ComparedOutput, VerificationOptions } from '../export/verify';
import { openModel } from '../models/open-model';
import { onPath } from '../jobs/write-document';
import { say } from '../message';

/** Model to write, and the output path. */
export interface WriteRequest {
  /** The source. */
  readonly model: OpenedModel;
  /** Sublayer ids of the source. */
  readonly removed: readonly string[];
  /** Encodings of the remaining linear layers by id; unchanged if absent. */
  readonly matrices?: ReadonlyMap<string, MatrixEncoding>;
  /** Patches by the ids of the sublayers that they replace; those count as removed. */
  readonly patches?: Patches;
  /** Path of the new folder. */
  readonly out: string;
  /** Output format; by default that of the model. */
  readonly format?: OutputFormat;
  /** Layout that represents the changes; see layouts. */
  readonly layout?: LayoutName;
  /** True to replace an existing model at `out`. */
  readonly overwrite: boolean;
  /** Largest safetensors file in bytes of data; sharded as the source when absent. */
  readonly maxShardBytes?: number;
  /** Quantization types of the tensors of a GGUF file; as stored if absent. */
  readonly types?: GgufTypes;
  /** Calibration of error-feedback rounding; undefined if matrices are rounded without it. */
  readonly feedback?: RoundingCalibration;
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Examples that the result is checked on, for models that are not given texts; random ones when absent. */
  readonly examples?: string;
}

/** Room for headers, config, manifest and the file system's own bookkeeping. */
const marginBytes = 1 << 16;

/**
 * Writes the changed model to a new folder, reopens it, and compares its logits with those of the source run with the
 * same changes. The folder appears only if all of that succeeds. Without changes, the output must have another format
 * than the source.
 * @throws UserError or CancelledError; the source and an existing output are unchanged then
 */
export async function writeModel(request: WriteRequest, context: JobContext): Promise<PruneResult> {
  const source = writeSource(request.model);
  const { summary } = source.model;
  const { removed, matrices = new Map<string, MatrixEncoding>() } = request;
  const forms = matrixChanges(source.model, matrices);
  const changes = checkChanges(summary, removed, forms, request.patches);
  const { format = request.model.format, layout } = request;
  const target = await chooseOutput(source, changes, {
    format,
    ...(layout === undefined ? {} : { layout }),
  });
  if (request.types !== undefined && target.format !== 'gguf') {
    throw new UserError(
      'types-not-in-format',
      say`Tensor types apply to GGUF files, and this writes ${target.format}.`,
      {
        ...(request.types.mix === undefined
          ? { field: 'types', remedy: say`Choose --format gguf, or delete types from the plan.` }
          : { field: 'type', remedy: say`Choose --format gguf, or leave --type out.` }),
      },
    );
  }
  const converts = request.model.format !== target.format || request.types !== undefined;
  const changed = changes.removed.length + changes.matrices.size + changes.patches.size;
  if (!converts && changed === 0 && request.model.widthPruned === undefined) {
    throw new UserError('plan-empty', say`The plan changes nothing: the result would be a copy.`, {
      file: summary.path,
      field: 'remove',
      remedy: say`Choose at least one sublayer to remove, or a layer to compress.`,
    });
  }
  const output = await OutputFolder.create(request.out, source.path, request.overwrite);
  let store: RoundingStore | undefined;
  try {
    store =
      request.feedback === undefined
        ? undefined
        : await RoundingStore.open(workFolder(request.out, 'round'), identifyRounding(request));
    const result = await writeChecked(request, source, target, changes, output, store, context);
    await checkpoint(context.cancellation);
    await output.commit(context.warn.bind(context));
    await store?.remove();
    return result;
  } catch (error) {
    throw await output.discard(error);
  } finally {
    await store?.removeIfEmpty();
  }
}

/** Everything that rounded tensors depend on. */
function identifyRounding({ model, removed, types, feedback }: WriteRequest): unknown {
  const { mix, tensors, importance } = types ?? {};
  return {
    ...{ model: model.summary.fingerprint, widths: model.widthPruned?.widths, removed },
    // With an importance matrix, some mixes choose other types.
    types: { mix, tensors, hasImportance: (importance?.size ?? 0) > 0 },
    ...{ calibration: feedback?.request, seed: feedback?.seed, version },
    distillation: feedback?.distillation,
  };
}

/** Fills the partial folder and checks it. */
async function writeChecked(
  request: WriteRequest,
  source: WriteSource,
  target: OutputOption,
  changes: Changes,
  output: OutputFolder,
  store: RoundingStore | undefined,
  context: JobContext,
): Promise<PruneResult> {
  const { summary } = source.model;
  // ONNX files are checked on the CPU, where sums hardly depend on the graph's structure.
  const options = {
    device: target.format === 'onnx' ? ('cpu' as const) : request.device,
    memoryBytes: request.memoryBytes,
    ...(request.maxShardBytes === undefined ? {} : { maxShardBytes: request.maxShardBytes }),
    ...(request.types === undefined ? {} : { types: request.types }),
  };
  const feedback =
    request.feedback === undefined || store === undefined
      ? undefined
      : { ...request.feedback, store };
  const writer = await roundingWriter({ ...request, feedback }, target, changes, options, context);
  if (target.layout !== 'zeroed' && changes.removed.length > 0) {
    warnNothingSaved(writer.parameters, changes, summary, context);
  }
  const sideFiles = await listSideFiles(source, writer);
  const sideBytes = sideFiles.files.reduce((sum, { bytes }) => sum + bytes, 0);
  await output.requireSpace(writer.bytes + sideBytes + marginBytes);

  const expected = await expectedOutputs(request, source, changes, writer, options, context);
  const copier = new ByteCopier(writer.bytes, context);
  let weights;
  try {
    weights = await writer.write(output.partial, copier);
  } finally {
    await copier.close();
  }
  await copySideFiles(sideFiles, source.folder, output.partial, context);
  for (const [name, text] of Object.entries(writer.texts)) {
    await writeText(output.partial, name, text);
  }
  const worst = await compareOutputs(expected, writer, output);
  const [{ model: changed } = {}] = expected;
  const hasExperts = changes.remaining.some(({ kind }) => kind === 'expert');
  if (
    hasExperts &&
    changed !== undefined &&
    target.format !== 'onnx' &&
    target.layout !== 'zeroed'
  ) {
    const entry = target.format === 'gguf' ? (weights[0] ?? '') : '';
    const written = await openModel(join(output.partial, entry));
    const how = { isExact: (writer.roundingError ?? 0) === 0, path: output.path };
    await compareExperts(changed, written, changes, how, context);
  }
  const llamaCpp =
    target.format === 'gguf'
      ? await compareInLlama(
          join(output.partial, weights[0] ?? ''),
          expected,
          worst,
          request.memoryBytes,
          context,
        )
      : undefined;
  const verification = { ...worst, ...(llamaCpp === undefined ? {} : { llamaCpp }) };

  const { loadsWith, parameters, layout } = writer;
  const written = {
    format: target.format,
    ...(layout === undefined ? {} : { layout }),
    loadsWith,
    parametersAfter: parameters,
    verification,
  };
  const { widthPruned } = request.model;
  const before = widthPruned?.original.summary ?? summary;
  const others = [
    ...Object.keys(writer.texts),
    manifestName,
    ...sideFiles.files.map(({ name }) => name),
  ];
  const manifest = await describeResult(before, changes, {
    ...written,
    widths: widthPruned?.widths,
    files: [...weights, ...others],
  });
  await writeText(output.partial, manifestName, `${JSON.stringify(manifest, null, 2)}\n`);
  const weightFiles = await measureSizes(output.partial, weights);
  const otherFiles = await measureSizes(output.partial, others);
  return {
    ...written,
    path: output.path,
    removed: changes.removed,
    ...(changes.patches.size === 0 ? {} : { patched: [...changes.patches.keys()] }),
    ...(widthPruned === undefined ? {} : { widths: widthPruned.widths }),
    parametersBefore: before.parameters,
    bytesBefore: totalBytes(await measureSizes('', source.files)),
    bytesAfter: totalBytes(weightFiles),
    files: [...weightFiles, ...otherFiles],
  };
}

/** Output that a written model should have on an example, by mode. */
type ExpectedOutput = ComparedOutput & { readonly expected: Float32Array };

/** Runs the changed model in memory on an example for each of its modes. */
async function expectedOutputs(
  request: WriteRequest,
  source: WriteSource,
  changes: Changes,
  writer: WeightWriter,
  options: VerificationOptions,
  context: JobContext,
): Promise<readonly ExpectedOutput[]> {
  const outputs: ExpectedOutput[] = [];
  const whole = withChanges<AnyModel>(source.model, changes);
  const changed = writer.part?.(whole) ?? whole;
  const modes: readonly LayeredModel[] = [changed, ...(changed.graph?.otherModes ?? [])];
  for (const model of modes) {
    const input = await verificationInput(model, source.folder, request.examples);
    const reference = runningError(model) === undefined ? undefined : writer.reference;
    const expected =
      reference === undefined
        ? await sourceLogits(model, changes.removed, input, options, context)
        : await reference(input);
    const { roundingError = 0 } = writer;
    outputs.push({ model, input, isSameGraph: reference !== undefined, roundingError, expected });
  }
  return outputs;
}

/**
 * Runs the written files and returns the comparison with the largest error.
 * @throws UserError if an output differs from the expected one
 */
async function compareOutputs(
  outputs: readonly ExpectedOutput[],
  writer: WeightWriter,
  folder: OutputFolder,
): Promise<PruneResult['verification']> {
  const checked: PruneResult['verification'][] = [];
  for (const { expected, ...how } of outputs) {
    const actual = await writer.output(folder.partial, how.input, how.model);
    checked.push(compareLogits(expected, actual, how, folder.path));
  }
  return checked.reduce((a, b) => (b.relativeError > a.relativeError ? b : a));
}

/** Compares the outputs of a GGUF file in llama.cpp, if the example is a text and llama.cpp is installed. */
async function compareInLlama(
  file: string,
  [first]: readonly ExpectedOutput[],
  { top1Agreement: ownAgreement }: PruneResult['verification'],
  memoryBytes: number,
  context: JobContext,
): ReturnType<typeof verifyInLlama> {
  if (!(first?.input instanceof Int32Array) || ownAgreement === undefined) {
    return undefined;
  }
  const { input: ids, expected } = first;
  return verifyInLlama({ file, ids, expected, ownAgreement, memoryBytes }, context);
}

/** Warns about removed sublayers whose weights are all shared with remaining ones. */
function warnNothingSaved(
  parameters: number,
  { removed }: Changes,
  summary: ModelSummary,
  context: JobContext,
): void {
  const nothing =
    parameters === summary.parameters
      ? say`This saves no weights: other sublayers share those of the removed ones.`
      : explainNothingFreed(freeingNothing(summary, removed));
  if (nothing !== undefined) {
    context.warn(nothing);
  }
}

async function listSideFiles(
  source: WriteSource,
  { standsAlone = false, leavesOut = [] }: WeightWriter,
): Promise<SideFiles> {
  const found = standsAlone ? noSideFiles : await source.sideFiles();
  return { ...found, files: found.files.filter(({ name }) => !leavesOut.includes(name)) };
}

async function copySideFiles(
  sideFiles: SideFiles,
  from: string,
  to: string,
  context: JobContext,
): Promise<void> {
  for (const { name, folder = from } of sideFiles.files) {
    await checkpoint(context.cancellation);
    const parent = dirname(join(to, name));
    await onPath(parent, async () => mkdir(parent, { recursive: true }));
    await copySideFile(join(folder, name), join(to, name), folder);
  }
  if (sideFiles.leftBehind.length > 0) {
    context.warn(
      say`Not copied, because they may contain the removed weights: ${sideFiles.leftBehind.join(', ')}.`,
    );
  }
  if (sideFiles.foreign.length > 0) {
    context.warn(
      say`Not copied, because they are links to places outside of the model's folder: ${sideFiles.foreign.join(', ')}.`,
    );
  }
}

async function writeText(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await writeFlushed(path, async (handle) => writeAll(handle, path, Buffer.from(text), 0));
}

async function measureSizes(
  folder: string,
  names: readonly string[],
): Promise<{ name: string; bytes: number }[]> {
  return Promise.all(
    names.map(async (name) => ({ name, bytes: (await stat(join(folder, name))).size })),
  );
}

function totalBytes(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}
