import { formatBytes } from '../format';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import { memoryAt } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { installedLlama } from '../runtime/llama/installation';
import type { LlamaInstallation } from '../runtime/llama/installation';
import { LlamaError, timeWithLlama } from '../runtime/llama/run-llama';
import type { EvaluationResult, LlamaTiming } from './evaluation';

/** Tokens of the prompt and after it, most runs of both, and time after which no other starts. */
const timing = { context: 128, tokens: 32, repeats: 3, seconds: 10 } as const;

/** Models that were evaluated. */
interface LlamaSpeedRequest {
  /** Undefined if sublayers of it were left out, so that there is no file of it. */
  readonly model: OpenedModel | undefined;
  readonly against: OpenedModel | undefined;
  readonly memoryBytes: number;
}

/** Adds the speeds of llama.cpp to an evaluation, for models that are GGUF files, if llama.cpp is installed. */
export async function addLlamaSpeeds<T extends EvaluationResult>(
  result: T,
  { model, against, memoryBytes }: LlamaSpeedRequest,
  context: JobContext,
): Promise<T> {
  const llama = await installedLlama();
  if (llama === undefined) {
    return result;
  }
  const time = async (one: OpenedModel | undefined): Promise<{ llamaCpp?: LlamaTiming }> => {
    const llamaCpp = one && (await timeModel(llama, one, memoryBytes, context));
    return llamaCpp === undefined ? {} : { llamaCpp };
  };
  const own = await time(model);
  return {
    ...result,
    ...own,
    ...(result.against === undefined
      ? {}
      : { against: { ...result.against, ...(against === model ? own : await time(against)) } }),
  };
}

/** @returns undefined if it is no GGUF file of a language model, doesn't fit in memory or fails, with a warning. */
async function timeModel(
  llama: LlamaInstallation,
  { model, format, path }: OpenedModel,
  memoryBytes: number,
  context: JobContext,
): Promise<LlamaTiming | undefined> {
  const { summary, emitter } = model;
  const { name, maxPositions = Infinity } = summary;
  if (format !== 'gguf' || emitter === undefined || maxPositions < timing.context + timing.tokens) {
    return undefined;
  }
  const release = llama.llamaCpp;
  const bytes = memoryAt(summary, timing.context + timing.tokens);
  if (bytes > memoryBytes) {
    context.warn(
      say`${name} was not timed in llama.cpp ${release}: it needs ${formatBytes(bytes)} of memory, and ${formatBytes(memoryBytes)} are allowed.`,
    );
    return undefined;
  }
  try {
    const { vocabularySize } = emitter;
    const speed = await timeWithLlama(llama, { model: path, ...timing, vocabularySize }, context);
    return { release, ...speed };
  } catch (error) {
    if (!(error instanceof LlamaError)) {
      throw error;
    }
    context.warn(say`${name} was not timed in llama.cpp ${release}: ${error.reason}.`);
    return undefined;
  }
}
