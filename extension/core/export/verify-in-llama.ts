import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { formatBytes, formatPercent } from '../format';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import { installedLlama } from '../runtime/llama/installation';
import { LlamaError, predictWithLlama } from '../runtime/llama/run-llama';
import type { LlamaCheck } from './verification';

/** GGUF file and its expected logits. */
interface LlamaCheckRequest {
  readonly file: string;
  readonly ids: Int32Array;
  /** [ids, vocabulary] */
  readonly expected: Float32Array;
  /** Share of tokens with the same most likely next token when Espalier runs the file. */
  readonly ownAgreement: number;
  readonly memoryBytes: number;
}

/** Loss of agreement in llama.cpp that is more than its 8-bit activations explain. */
const largeLoss = 0.25;

/**
 * Runs a written GGUF file in llama.cpp if that is installed. A failure there is a warning and doesn't fail the job.
 * @returns undefined if llama.cpp is not installed, or the file doesn't fit in the memory of the job
 */
export async function verifyInLlama(
  { file, ids, expected, ownAgreement, memoryBytes }: LlamaCheckRequest,
  context: JobContext,
): Promise<LlamaCheck | undefined> {
  const llama = await installedLlama();
  if (llama === undefined) {
    return undefined;
  }
  const { llamaCpp: release } = llama;
  const bytes = (await stat(file)).size + expected.byteLength;
  if (bytes > memoryBytes) {
    context.warn(
      say`Not checked in llama.cpp ${release}: it needs ${formatBytes(bytes)} of memory, and ${formatBytes(memoryBytes)} is allowed.`,
    );
    return undefined;
  }
  context.progress({ stage: say`Running it in llama.cpp`, done: 0, total: 1, unit: 'steps' });
  try {
    const task = { model: file, ids, withLogits: false, text: '' };
    const { tokens } = await predictWithLlama(llama, task, context);
    const vocabulary = expected.length / ids.length;
    const same = tokens.filter((token, position) => {
      const row = expected.subarray(position * vocabulary, (position + 1) * vocabulary);
      return (row[token] ?? -Infinity) === largest(row);
    });
    const top1Agreement = same.length / ids.length;
    if (top1Agreement < ownAgreement - largeLoss) {
      context.warn(
        say`${basename(file)} predicts other tokens in llama.cpp ${release}: top-1 agreement with the plan ${formatPercent(top1Agreement)}, ${formatPercent(ownAgreement)} in Espalier.`,
      );
    }
    return { release, top1Agreement };
  } catch (error) {
    if (!(error instanceof LlamaError)) {
      throw error;
    }
    context.warn(say`${basename(file)} does not run in llama.cpp ${release}: ${error.reason}.`);
    return { release, failure: error.reason };
  }
}

const largest = (row: Float32Array): number => row.reduce((a, b) => Math.max(a, b), -Infinity);
