import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ChoiceProblem } from '../core/export/compression/layer-choices';
import type { ModelSummary } from '../core/models/model-summary';
import type { CompressionChoice } from '../core/tensornet/compression-choice';
import { UserError } from '../core/user-error';
import { isModelFile, modelStem } from './model-file';
import type { WorkerClient } from './worker-client';

interface OpenModel {
  /** Names, sizes and times of the model's files: a change means another summary. */
  readonly stamp: string;
  readonly summary: Promise<ModelSummary>;
}

const kept = 32;

/** Summaries of the models looked at lately, read once per version of their files. */
export class OpenModels {
  readonly #worker: WorkerClient;
  readonly #models = new Map<string, OpenModel>();

  public constructor(worker: WorkerClient) {
    this.#worker = worker;
  }

  /** Summary of a model folder, or of the model that a file in it belongs to. */
  public async summary(path: string): Promise<ModelSummary> {
    const folder = await placeOf(path);
    const stamp = await stampOf(folder);
    const known = this.#models.get(folder);
    this.#models.delete(folder);
    const open =
      known?.stamp === stamp
        ? known
        : { stamp, summary: this.#worker.request('inspect', { model: folder }) };
    this.#models.set(folder, open);
    const [oldest] = this.#models.keys();
    if (this.#models.size > kept && oldest !== undefined) {
      this.#models.delete(oldest);
    }
    try {
      return await open.summary;
    } catch (error) {
      if (this.#models.get(folder) === open) {
        this.#models.delete(folder);
      }
      throw error;
    }
  }

  /** What is wrong with the compressions of a plan for the model at `path`. */
  public async choiceProblems(
    path: string,
    choices: readonly CompressionChoice[],
    removed: readonly string[],
  ): Promise<readonly ChoiceProblem[]> {
    return choices.length === 0
      ? []
      : this.#worker.request('checkChoices', { model: await placeOf(path), choices, removed });
  }
}

/** The folder or model file itself, or the folder that holds a config.json or weights. */
async function placeOf(path: string): Promise<string> {
  try {
    return (await stat(path)).isDirectory() || isModelFile(path) ? path : dirname(path);
  } catch {
    throw new UserError('There is no such file or folder.', { file: path });
  }
}

async function stampOf(place: string): Promise<string> {
  const folder = isModelFile(place) ? dirname(place) : place;
  const stem = basename(modelStem(place));
  const names = (await readdir(folder)).filter((name) =>
    isModelFile(place)
      ? name === basename(place) || (name.startsWith(stem) && /\.onnx[._]data$/.test(name))
      : /\.(json|safetensors|gguf|onnx|onnx[._]data)$/.test(name),
  );
  const stamps = await Promise.all(
    names.sort().map(async (name) => {
      const { size, mtimeMs } = await stat(join(folder, name));
      return `${name}:${size}:${mtimeMs}`;
    }),
  );
  return `${basename(place)} ${stamps.join(' ')}`;
}
