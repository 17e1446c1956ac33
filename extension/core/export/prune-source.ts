import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readGgufHeader } from '../checkpoints/gguf';
import { isGguf, locateModel } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import type { JobContext } from '../jobs/job';
import { EncoderModel } from '../models/encoders/encoder-model';
import type { LayeredModel } from '../models/layered-model';
import { OnnxLayeredModel } from '../models/onnx/onnx-layered-model';
import { openModel } from '../models/open-model';
import type { SearchSettings } from '../prune/options';
import { UserError } from '../user-error';
import { graphWriter } from './graph-writer';
import type { OutputFormat } from './prune-result';
import { requireConfigRewritable } from './pruned-config';
import { wholeBlocksOnly } from './removal';
import type { Removal } from './removal';
import { findNamedSideFiles, findSideFiles } from './side-files';
import type { SideFiles } from './side-files';
import { ggufWriter } from './gguf-form';
import { encoderOnnxWriter, onnxWriter, safetensorsWriter } from './weight-writers';
import type { CheckpointSource, WeightWriter, WriteOptions } from './weight-writers';

/** A model that is written anew, and the forms that it can take. */
export interface PruneSource {
  readonly model: LayeredModel;
  /** The folder or file that is the model, which is never written to. */
  readonly path: string;
  /** The files of its weights. */
  readonly files: readonly string[];
  /** Where its side files lie. */
  readonly folder: string;
  readonly sideFiles: () => Promise<SideFiles>;
  /** The writer of each form, the usual form first. */
  readonly writers: readonly (readonly [OutputFormat, CreateWriter])[];
}

type CreateWriter = (
  removal: Removal,
  options: WriteOptions,
  context: JobContext,
) => Promise<WeightWriter>;

/**
 * Opens a model to write it anew.
 * @throws UserError where it cannot be opened.
 */
export async function openSource(modelPath: string): Promise<PruneSource> {
  const model = await openModel(modelPath);
  const { path } = model.summary;
  if (model instanceof OnnxLayeredModel) {
    const folder = dirname(path);
    return {
      model,
      path,
      files: model.files,
      folder,
      sideFiles: async () => findNamedSideFiles(folder),
      writers: [['onnx', async (removal, _, context) => graphWriter(model, removal, context)]],
    };
  }
  if (isGguf(path)) {
    const header = await readGgufHeader(path);
    return {
      model,
      path,
      files: model.files,
      folder: dirname(path),
      // The file holds its tokenizer and settings itself.
      sideFiles: () => Promise.resolve({ files: [], folders: [], leftBehind: [] }),
      writers: [['gguf', async (...how) => ggufWriter(model, header, ...how)]],
    };
  }
  const { weights, config } = await locateModel(modelPath);
  const checkpoint = await openSafetensors(weights);
  const parts = { checkpoint, configText: await readFile(config, 'utf8') };
  const requireRewritable = (removal: Removal): void => {
    requireConfigRewritable(parts.configText, config, removal.blocks);
  };
  return {
    model,
    path,
    files: checkpoint.files,
    folder: path,
    sideFiles: async () => findSideFiles(path),
    writers: [
      [
        'safetensors',
        (removal, options, context) => {
          requireRewritable(removal);
          return Promise.resolve(safetensorsWriter({ ...parts, model }, removal, options, context));
        },
      ],
      [
        'onnx',
        (removal, _, context) => {
          requireRewritable(removal);
          return Promise.resolve(toOnnx(model, parts, removal, context));
        },
      ],
    ],
  };
}

function toOnnx(
  model: LayeredModel,
  parts: Omit<CheckpointSource, 'model'>,
  removal: Removal,
  context: JobContext,
): WeightWriter {
  if (model instanceof EncoderModel) {
    return encoderOnnxWriter({ ...parts, model }, removal, context);
  }
  if (model.emitter === undefined) {
    throw new Error('a decoder in safetensors emits itself');
  }
  return onnxWriter({ ...parts, model }, model.emitter, removal, context);
}

/**
 * The writer of a form, the usual one where none is asked for.
 * @throws UserError naming the forms that the model can take.
 */
export function chooseWriter(
  { writers, path }: PruneSource,
  asked: OutputFormat | undefined,
): { readonly format: OutputFormat; readonly create: CreateWriter } {
  const found = asked === undefined ? writers[0] : writers.find(([format]) => format === asked);
  if (found === undefined) {
    throw new UserError(`The model cannot be written as ${asked ?? 'anything'}.`, {
      file: path,
      field: 'format',
      remedy: `Choose ${writers.map(([format]) => format).join(' or ')}.`,
    });
  }
  const [format, create] = found;
  return { format, create };
}

/**
 * Refuses what could not be written, so that nobody waits for a search in vain.
 * @throws UserError with the remedy.
 */
export async function requireWritable(
  modelPath: string,
  format: OutputFormat | undefined,
  level: SearchSettings['level'],
): Promise<void> {
  const source = await openSource(modelPath);
  const { path, architecture } = source.model.summary;
  chooseWriter(source, format);
  if (isGguf(path) && level !== 'block') {
    throw wholeBlocksOnly(path, architecture, `the search removes at the level ${level}`);
  }
}
