import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isGguf, locateModel } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { openModel } from '../models/open-model';
import type { DeviceName } from '../runtime/device';
import { UserError } from '../user-error';
import { ByteCopier, writeAll, writeFlushed } from './byte-copier';
import { describeResult, manifestName } from './manifest';
import { OutputFolder } from './output-folder';
import type { OutputFormat, PruneResult } from './prune-result';
import { requireConfigRewritable } from './pruned-config';
import { checkRemoval } from './removal';
import type { Removal } from './removal';
import { copySideFile, findSideFiles } from './side-files';
import type { SideFiles } from './side-files';
import { compareLogits, sourceLogits, verificationTokens } from './verify';
import { onnxWriter, safetensorsWriter } from './weight-writers';
import type { PruneSource } from './weight-writers';
import { onPath } from './write-errors';

/** What is to be written where. */
export interface WriteRequest {
  /** The source: a model folder or any of its files. */
  readonly modelPath: string;
  /** Sublayer ids of the source. */
  readonly removed: readonly string[];
  /** The new folder. */
  readonly out: string;
  readonly format: OutputFormat;
  /** Replace a model that stands at `out`. */
  readonly overwrite: boolean;
  /** Largest safetensors file in bytes of data; sharded as the source when absent. */
  readonly maxShardBytes?: number;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Room for headers, config, manifest and the file system's own bookkeeping. */
const marginBytes = 1 << 16;

/**
 * Writes the model without the removed sublayers to a new folder, opens it again and compares its
 * logits with the source's. The folder appears when all of that has succeeded, or not at all.
 * Removing nothing is allowed for ONNX alone, where it converts the model.
 * @throws UserError, or CancelledError; the source and what stood at `out` are then as before.
 */
export async function writePrunedModel(
  request: WriteRequest,
  context: JobContext,
): Promise<PruneResult> {
  const model = await openModel(request.modelPath);
  requireWritable(model.summary.path);
  const removal = checkRemoval(model.summary, request.removed);
  if (request.format === 'safetensors' && removal.removed.length === 0) {
    throw new UserError('Nothing is to be removed: the result would be a copy.', {
      file: model.summary.path,
      field: 'remove',
      remedy: 'Choose at least one sublayer.',
    });
  }
  const folder = await locateModel(request.modelPath);
  const source: PruneSource = {
    model,
    checkpoint: await openSafetensors(folder.weights),
    configText: await readFile(folder.config, 'utf8'),
  };
  requireConfigRewritable(source.configText, folder.config, removal.blocks);
  const output = await OutputFolder.create(request.out, folder.path, request.overwrite);
  try {
    const result = await writeChecked(request, source, removal, output, context);
    await checkpoint(context.cancellation);
    await output.commit(context.warn.bind(context));
    return result;
  } catch (error) {
    await output.discard();
    throw error;
  }
}

/**
 * Refuses models that can be measured only, so that nobody waits for a search in vain.
 * @throws UserError with the remedy.
 */
export function requireWritable(modelPath: string): void {
  if (isGguf(modelPath)) {
    throw new UserError('A model in a GGUF file can be measured, but not written anew.', {
      file: modelPath,
      remedy: 'Prune its Hugging Face folder (safetensors), and convert the result to GGUF.',
    });
  }
}

/** Fills the partial folder and checks it. */
async function writeChecked(
  request: WriteRequest,
  source: PruneSource,
  removal: Removal,
  output: OutputFolder,
  context: JobContext,
): Promise<PruneResult> {
  const { format } = request;
  const { summary } = source.model;
  // ONNX files are checked on the CPU, where sums hardly depend on the form of the graph.
  const options = {
    device: format === 'onnx' ? 'cpu' : request.device,
    memoryBytes: request.memoryBytes,
  };
  const writer =
    format === 'onnx'
      ? onnxWriter(source, removal, context)
      : safetensorsWriter(source, removal, request.maxShardBytes, options, context);
  const sideFiles = await findSideFiles(summary.path);
  const sideBytes = sideFiles.files.reduce((sum, { bytes }) => sum + bytes, 0);
  await output.requireSpace(writer.bytes + sideBytes + marginBytes);

  const ids = verificationTokens(summary);
  const expected = await sourceLogits(source.model, removal.removed, ids, options, context);

  const copier = new ByteCopier(writer.bytes, context);
  const weights = await writer.write(output.partial, copier).finally(async () => copier.close());
  await copySideFiles(sideFiles, summary.path, output.partial, context);
  for (const [name, text] of Object.entries(writer.texts)) {
    await writeText(output.partial, name, text);
  }
  const actual = await writer.logits(output.partial, ids);
  const verification = compareLogits(expected, actual, ids.length, output.path);

  const gone = new Set(removal.removed);
  const parametersAfter = summary.sublayers
    .filter(({ id }) => gone.has(id))
    .reduce((left, { parameters }) => left - parameters, summary.parameters);
  const written = { format, loadsWith: writer.loadsWith, parametersAfter, verification };
  const manifest = await describeResult(summary, removal, written);
  await writeText(output.partial, manifestName, `${JSON.stringify(manifest, null, 2)}\n`);
  const weightFiles = await sizesOf(output.partial, weights);
  const otherFiles = await sizesOf(output.partial, [
    ...Object.keys(writer.texts),
    manifestName,
    ...sideFiles.files.map(({ name }) => name),
  ]);
  return {
    ...written,
    path: output.path,
    removed: removal.removed,
    parametersBefore: summary.parameters,
    bytesBefore: totalBytes(await sizesOf('', source.checkpoint.files)),
    bytesAfter: totalBytes(weightFiles),
    files: [...weightFiles, ...otherFiles],
  };
}

async function copySideFiles(
  sideFiles: SideFiles,
  from: string,
  to: string,
  context: JobContext,
): Promise<void> {
  for (const folder of sideFiles.folders) {
    await onPath(join(to, folder), async () => mkdir(join(to, folder)));
  }
  for (const { name } of sideFiles.files) {
    await checkpoint(context.cancellation);
    await copySideFile(join(from, name), join(to, name));
  }
  if (sideFiles.leftBehind.length > 0) {
    context.warn(
      `Not copied, since they may hold the removed weights: ${sideFiles.leftBehind.join(', ')}.`,
    );
  }
}

async function writeText(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await writeFlushed(path, async (handle) => writeAll(handle, path, Buffer.from(text), 0));
}

async function sizesOf(
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
