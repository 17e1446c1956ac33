import { setTimeout } from 'node:timers/promises';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import { median } from '../../statistics';
import { say } from '../../message';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** Task of the child process, with the path of the addon. */
export type LlamaTask =
  | { readonly kind: 'describe'; readonly addon: string }
  | PredictTask
  | TimeTask
  | ContinueTask;

/** Most likely next token after each of the tokens, from one batch. */
export interface PredictTask {
  readonly kind: 'predict';
  readonly addon: string;
  /** Path of a GGUF file. */
  readonly model: string;
  readonly ids: Int32Array;
  /** True if all logits are returned, too. */
  readonly withLogits: boolean;
  /** Text to tokenize without special tokens, or empty. */
  readonly text: string;
}

/** Task of the llama.cpp process: time prefill and decode. */
export interface TimeTask {
  readonly kind: 'time';
  readonly addon: string;
  readonly model: string;
  /** Length of the prompt. */
  readonly context: number;
  /** Tokens that are decoded after it. */
  readonly tokens: number;
  /** Most runs after one to warm up. */
  readonly repeats: number;
  /** Time limit of the measurement. */
  readonly seconds: number;
  readonly vocabularySize: number;
}

/** A text that grows: the model stays loaded between tasks of the same process. */
export interface ContinueTask {
  readonly kind: 'continue';
  readonly addon: string;
  readonly model: string;
  /** Whole text; empty to only load the model. */
  readonly ids: Int32Array;
  /** Number of leading ids that the previous task of this process has read. */
  readonly known: number;
  /** Most tokens that the text may have. */
  readonly contextSize: number;
}

/** Logits after a text. */
export interface LlamaContinuation {
  /** [vocabulary]; empty if no ids were given. */
  readonly logits: Float32Array;
  /** Time that llama.cpp took to read the new ids, without passing on the logits. */
  readonly milliseconds: number;
}

export interface LlamaPredictions {
  /** Most likely next token by position. */
  readonly tokens: Int32Array;
  /** [tokens, vocabulary]; empty if not asked for. */
  readonly logits: Float32Array;
  /** Tokens of the text. */
  readonly textTokens: Int32Array;
}

/** Medians over the runs. */
export interface LlamaSpeed {
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly threads: number;
}

/** Features of the processor that llama.cpp uses. */
export interface LlamaDescription {
  readonly system: string;
}

/** Decoded tokens that are timed in any case. */
const fewestSteps = 4;

/** Tokens of a prompt that are read in one batch. */
const promptBatch = 512;

/** Answer if llama.cpp can't do it. */
export interface LlamaRefusal {
  readonly refusal: string;
}

/** Answer of a task. */
type LlamaAnswer = LlamaDescription | LlamaPredictions | LlamaSpeed | LlamaContinuation;

/** Time for log lines of a failure to arrive from the addon's thread, in milliseconds. */
const logMilliseconds = 50;

/** Performs a task with llama.cpp in this process. */
export async function performLlamaTask(
  task: LlamaTask,
  job: TaskJob,
): Promise<LlamaAnswer | LlamaRefusal> {
  const errors: string[] = [];
  const addon = await loadAddon(task.addon, (text) => errors.push(text.trim()));
  if (task.kind === 'describe') {
    return { system: addon.systemInfo() };
  }
  try {
    switch (task.kind) {
      case 'predict':
        return await predict(addon, task);
      case 'time':
        return await time(addon, task, job);
      case 'continue':
        return await continueText(addon, task);
    }
  } catch (error) {
    if (!(error instanceof FailedStep)) {
      throw error;
    }
    await setTimeout(logMilliseconds);
    // The first line is the cause; the others are consequences.
    return { refusal: errors.find(Boolean) ?? error.message };
  }
}

/** Error from llama.cpp with its log. */
class FailedStep extends Error {}

const step = async <T>(work: () => Promise<T>): Promise<T> => {
  const result = await work().catch((error: unknown) => {
    throw new FailedStep((error as Error).message);
  });
  if (result === false) {
    throw new FailedStep('the file was refused');
  }
  return result;
};

type Model = InstanceType<LlamaAddon['AddonModel']>;
type Context = InstanceType<LlamaAddon['AddonContext']>;
type Sampler = InstanceType<LlamaAddon['AddonSampler']>;

async function open(
  addon: LlamaAddon,
  path: string,
  { contextSize, batchSize }: { readonly contextSize: number; readonly batchSize: number },
): Promise<{ readonly model: Model; readonly context: Context; readonly threads: number }> {
  const model = new addon.AddonModel(path, { addonExports: addon, gpuLayers: 0, useMmap: true });
  await step(async () => model.init());
  const threads = Math.max(1, Math.floor(addon.getMathCores()));
  const context = new addon.AddonContext(model, {
    ...{ contextSize, batchSize, sequences: 1, threads },
    flashAttention: 'auto',
  });
  await step(async () => context.init());
  return { model, context, threads };
}

/** Most likely next token and logits, [vocabulary], of a position. */
async function readLogits(
  context: Context,
  row: number,
  sampler: Sampler,
): Promise<{ readonly token: number; readonly logits: Float32Array }> {
  const [token, , , pairs = []] = await step(async () =>
    context.sampleToken(row, sampler, false, false, true),
  );
  const logits = new Float32Array(pairs.length / 2);
  for (let i = 0; i < pairs.length; i += 2) {
    logits[pairs[i] ?? 0] = pairs[i + 1] ?? Number.NaN;
  }
  return { token, logits };
}

async function predict(
  addon: LlamaAddon,
  { model: path, ids, withLogits, text }: PredictTask,
): Promise<LlamaPredictions> {
  const { length } = ids;
  const { model, context } = await open(addon, path, { contextSize: length, batchSize: length });
  context.initBatch(length);
  const rows = context.addToBatch(0, 0, Uint32Array.from(ids), Uint32Array.from(ids.keys()));
  await step(async () => context.decodeBatch());
  const sampler = new addon.AddonSampler(model);
  sampler.applyConfig({ temperature: 0 });
  const tokens = new Int32Array(length);
  let logits = new Float32Array();
  for (const [position, row] of rows.entries()) {
    if (!withLogits) {
      tokens[position] = await step(async () => context.sampleToken(row, sampler));
      continue;
    }
    const { token, logits: own } = await readLogits(context, row, sampler);
    tokens[position] = token;
    logits = position === 0 ? new Float32Array(length * own.length) : logits;
    logits.set(own, position * own.length);
  }
  // llama.cpp aborts if a file without a tokenizer is asked to tokenize.
  const textTokens = text === '' ? new Int32Array() : Int32Array.from(model.tokenize(text, false));
  return { tokens, logits, textTokens };
}

/** Model and context that the next text continues in. */
let opened:
  | {
      readonly path: string;
      readonly contextSize: number;
      readonly context: Context;
      readonly sampler: Sampler;
    }
  | undefined;

async function continueText(
  addon: LlamaAddon,
  { model: path, ids, known, contextSize }: ContinueTask,
): Promise<LlamaContinuation> {
  let first = known;
  if (opened?.path !== path || opened.contextSize !== contextSize) {
    opened = undefined;
    const size = { contextSize, batchSize: Math.min(contextSize, promptBatch) };
    const { model, context } = await open(addon, path, size);
    const sampler = new addon.AddonSampler(model);
    sampler.applyConfig({ temperature: 0 });
    opened = { path, contextSize, context, sampler };
    first = 0;
  }
  const { context, sampler } = opened;
  if (first === 0) {
    context.disposeSequence(0);
  }
  const started = performance.now();
  let row = 0;
  for (let next = first; next < ids.length; next += promptBatch) {
    const batch = Uint32Array.from(ids.subarray(next, next + promptBatch));
    context.initBatch(batch.length);
    [row = 0] = context.addToBatch(0, next, batch, Uint32Array.of(batch.length - 1));
    await step(async () => context.decodeBatch());
  }
  const milliseconds = performance.now() - started;
  const logits =
    ids.length === 0 ? new Float32Array() : (await readLogits(context, row, sampler)).logits;
  return { logits, milliseconds };
}

async function time(addon: LlamaAddon, task: TimeTask, job: TaskJob): Promise<LlamaSpeed> {
  const { context: length, tokens, repeats, vocabularySize } = task;
  const size = { contextSize: length + tokens, batchSize: length };
  const { context, threads } = await open(addon, task.model, size);
  // All tokens take the same time. 7919 is coprime to most vocabulary sizes.
  const tokenAt = (position: number): number => (position * 7919) % vocabularySize;
  const run = async (first: number, count: number): Promise<number> => {
    const started = performance.now();
    context.initBatch(count);
    const batch = Uint32Array.from({ length: count }, (_, i) => tokenAt(first + i));
    context.addToBatch(0, first, batch, Uint32Array.of(count - 1));
    await step(async () => context.decodeBatch());
    return (performance.now() - started) / 1000;
  };
  // The first run reads the weights from disk.
  await run(0, length);
  await run(length, 1);
  const prefills: number[] = [];
  const decodes: number[] = [];
  const started = performance.now();
  const isLate = (): boolean => performance.now() - started > 1000 * task.seconds;
  do {
    context.disposeSequence(0);
    prefills.push(await run(0, length));
    for (let i = 0; i < tokens && (i < fewestSteps || !isLate()); i++) {
      await checkpoint(job.cancellation);
      decodes.push(await run(length + i, 1));
    }
    job.progress({
      ...{ stage: say`Timing in llama.cpp`, unit: 'steps' },
      ...{ done: prefills.length, total: repeats },
    });
  } while (prefills.length < repeats && !isLate());
  return {
    prefillTokensPerSecond: length / median(prefills),
    decodeTokensPerSecond: 1 / median(decodes),
    threads,
  };
}

/** Model of node-llama-cpp's addon. */
interface AddonModel {
  init(): Promise<boolean>;
  tokenize(text: string, specialTokens: boolean): Uint32Array;
}

/** Greedy sampler without state. */
interface AddonSampler {
  applyConfig(config: { readonly temperature: number }): void;
}

interface AddonContext {
  init(): Promise<boolean>;
  initBatch(tokens: number): void;
  /** @returns indices of the logits for the positions in `logitPositions`, for {@link sampleToken} */
  addToBatch(
    sequence: number,
    firstPosition: number,
    tokens: Uint32Array,
    logitPositions: Uint32Array,
  ): Uint32Array;
  decodeBatch(): Promise<void>;
  disposeSequence(sequence: number): void;
  sampleToken(logits: number, sampler: AddonSampler): Promise<number>;
  /** @returns token, undefined, undefined, then ids and logits alternating */
  sampleToken(
    logits: number,
    sampler: AddonSampler,
    probabilities: false,
    confidence: false,
    withLogits: true,
  ): Promise<readonly [number, undefined, undefined, readonly number[] | undefined]>;
}

/** The part of node-llama-cpp's native interface that is used here: it is the same in all installed versions. */
interface LlamaAddon {
  readonly AddonModel: new (
    path: string,
    options: {
      readonly addonExports: LlamaAddon;
      readonly gpuLayers: number;
      readonly useMmap: boolean;
    },
  ) => AddonModel;
  readonly AddonContext: new (
    model: AddonModel,
    options: {
      readonly contextSize: number;
      readonly batchSize: number;
      readonly sequences: number;
      readonly threads: number;
      readonly flashAttention: 'auto';
    },
  ) => AddonContext;
  readonly AddonSampler: new (model: AddonModel) => AddonSampler;
  setLogger(log: (level: number, text: string) => void): void;
  setLoggerLogLevel(level: number): void;
  loadBackends(folder?: string): void;
  init(): Promise<void>;
  systemInfo(): string;
  getMathCores(): number;
}

/** Level of errors in the addon's log. */
const errorLevel = 2;

/**
 * Loads the addon with its libraries for the processor. Only a child process does: a fault in it ends the process.
 * @param logError called for each line that llama.cpp logs as an error
 */
async function loadAddon(path: string, logError: (text: string) => void): Promise<LlamaAddon> {
  const addon = createRequire(path)(path) as LlamaAddon;
  addon.setLogger((_, text) => {
    logError(text);
  });
  addon.setLoggerLogLevel(errorLevel);
  addon.loadBackends(dirname(path));
  await addon.init();
  return addon;
}
