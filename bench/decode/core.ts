// Functions of the core that run.mjs needs. run.mjs bundles this file.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { TypeMix } from '../../extension/core/export/gguf/type-mixes';
import { unattended } from '../../extension/core/jobs/job';
import { costsFolder } from '../../extension/core/jobs/user-cache';
import { openModelFiles } from '../../extension/core/models/open-model';
import { decodeCosts, originalDecodeMs } from '../../extension/core/pipelines/decode-costs';
import { runtimeOutput } from '../../extension/core/pipelines/runtimes';
import { targetBytes } from '../../extension/core/pipelines/size-choices';
import { writeModel } from '../../extension/core/pipelines/write-model';
import { installedLlama } from '../../extension/core/runtime/llama/installation';
import { timeWithLlama } from '../../extension/core/runtime/llama/run-llama';

/** Predictions for a mix, and measurements of its file. */
export interface MixTimes {
  readonly predictedBytes: number;
  readonly bytes: number;
  /** Tokens per second. */
  readonly predicted: number;
  readonly measured: number;
}

const timing = { context: 32, tokens: 64, repeats: 5, seconds: 10 } as const;

/** Predicts size and decode speed of a model in a mix, writes it to a new folder, and times it in llama.cpp. */
export async function timeMix(path: string, mix: TypeMix, out: string): Promise<MixTimes> {
  const llama = await installedLlama();
  if (llama === undefined) {
    throw new Error('llama.cpp is not installed: run espalier install-llama');
  }
  const model = await openModelFiles(path);
  const target = { kind: 'type', type: mix } as const;
  const output = await runtimeOutput(model, 'llama.cpp');
  const predictedBytes = await targetBytes(model, output, target, unattended);
  const limits = { device: 'cpu', memoryBytes: 2 ** 33 } as const;
  const types = { mix };
  const format = 'gguf';
  await writeModel(
    { model, removed: [], format, overwrite: true, out, types, ...limits },
    unattended,
  );
  const opened = await openModelFiles(await ggufIn(out));
  const folder = { costsFolder: costsFolder() };
  const costs = await decodeCosts(opened, undefined, folder, unattended);
  const vocabularySize = model.model.summary.vocabularySize ?? 0;
  const task = { model: opened.path, ...timing, vocabularySize };
  const { decodeTokensPerSecond: measured } = await timeWithLlama(llama, task, unattended);
  const { size: bytes } = await stat(opened.path);
  const predicted = 1000 / originalDecodeMs(opened, costs);
  return { predictedBytes, bytes, predicted, measured };
}

async function ggufIn(folder: string): Promise<string> {
  const names = await readdir(folder);
  return join(folder, names.find((name) => name.endsWith('.gguf')) ?? '');
}
