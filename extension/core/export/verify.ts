import { existsSync } from 'node:fs';
import { join, basename } from 'node:path';
import { cachedExample } from '../data/examples/cached-example';
import { loadExamples } from '../data/examples/load-examples';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel, ModelOutput, RunnableGraph } from '../models/layered-model';
import { eightBitError, roundsInputs } from '../models/encodings/encoding-facts';
import { EncoderModel } from '../models/encoders/encoder-model';
import { openModel } from '../models/open-model';
import { vocabularyBounds } from '../models/example';
import { holdsExamples } from '../data/model-inputs';
import { CausalOnnxModel } from '../runtime/causal-onnx-model';
import type { DeviceName } from '../runtime/device';
import { LayeredExecutor } from '../runtime/layered-executor';
import { leastMemory } from '../runtime/memory-shares';
import { explainNonFinite } from '../runtime/non-finite';
import { floatsIn } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import { UserError } from '../user-error';
import { describeCompared } from './verification';
import type { Verification, LlamaCheck } from './verification';
import { onnxName } from './onnx/onnx-writer';
import { say } from '../message';
import type { Message } from '../message';
import { stat } from 'node:fs/promises';
import { formatBytes, formatPercent } from '../format';
import { installedLlama } from '../runtime/llama/installation';
import { LlamaError, predictWithLlama } from '../runtime/llama/run-llama';

/** Device and memory limit for the models that are compared. */
export interface VerificationOptions {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/**
 * Maximum of max |a − b| / max |a| for equal results. The same operators run on the same weights, so only the order of
 * summation differs: about 1e-6 in float32, and 2e-5 if ONNX Runtime fuses convolutions differently in parts of a
 * graph.
 */
const tolerance = 1e-4;
/** Sigmoids are exact to some 1e-7, however small their values: those below this count as this large. */
const smallProbability = 1e-2;
const maxTokens = 64;
const exampleLength = 16;
const checkingStage = say`Checking the written model`;

/** Token ids that are the same for every run with this vocabulary. */
function verificationTokens(vocabularySize: number, maxPositions = maxTokens): Int32Array {
  const length = Math.min(maxTokens, maxPositions);
  let state = 1;
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' generator
    return Math.floor((state / 2 ** 32) * vocabularySize);
  });
}

/** Input on which the source and the result are compared. It is the same in every run. */
export async function verificationInput(
  model: LayeredModel,
  folder: string,
  given?: string,
): Promise<ModelInput> {
  if (model.emitter !== undefined) {
    return verificationTokens(model.emitter.vocabularySize, model.summary.maxPositions);
  }
  const bounds = vocabularyBounds(model);
  if (model.graph?.isCached === true) {
    return cachedExample(model.inputs, bounds, model.summary.path);
  }
  const file =
    given !== undefined && existsSync(given) && (await holdsExamples(given)) ? given : undefined;
  const request = {
    ...(file === undefined ? {} : { file }),
    count: 1,
    seed: 1,
    length: exampleLength,
    bounds,
  };
  const { examples } = await loadExamples(request, model.inputs, folder);
  return examples[0] ?? {};
}

/**
 * Output of the source without the sublayers and experts in `removed`; logits [tokens, vocabulary] for a language
 * model.
 * @throws UserError if the values are not finite, so that nothing can be compared
 */
export async function sourceLogits(
  model: LayeredModel,
  removed: readonly string[],
  input: ModelInput,
  options: VerificationOptions,
  context: JobContext,
): Promise<Float32Array> {
  const executor = executorOnce(exposeAllStates(model), options);
  const skipped = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
  try {
    const logits = await runLayers(
      executor,
      skipped,
      input,
      context,
      say`Running the source model`,
    );
    if (!logits.every(Number.isFinite)) {
      throw await explainNonFinite(executor, input, skipped);
    }
    return logits;
  } finally {
    await executor.dispose();
  }
}

/** Logits of a safetensors folder that was written, opened again. */
export async function writtenLogits(
  folder: string,
  input: ModelInput,
  options: VerificationOptions,
  context: JobContext,
): Promise<Float32Array> {
  const model = exposeAllStates(await openModel(folder));
  const executor = executorOnce(model, options);
  try {
    return await runLayers(executor, new Set(), input, context, checkingStage);
  } finally {
    await executor.dispose();
  }
}

/** An executor that runs each sublayer once, so keeping their sessions would only take memory. */
function executorOnce(
  model: LayeredModel,
  { device, memoryBytes }: VerificationOptions,
): LayeredExecutor {
  const bytes = Math.min(memoryBytes, leastMemory(model, device));
  return new LayeredExecutor(model, device, bytes, { asItStands: true });
}

/** Every hidden state is compared, also where the output is one embedding of them. */
const exposeAllStates = (model: LayeredModel): LayeredModel =>
  model instanceof EncoderModel ? model.unpooled : model;

async function runLayers(
  executor: LayeredExecutor,
  skipped: ReadonlySet<number>,
  input: ModelInput,
  context: JobContext,
  stage: Message,
): Promise<Float32Array> {
  const { sublayers } = executor.model.summary;
  const total = sublayers.length + 1;
  let hidden = await executor.embed(input);
  for (const index of sublayers.keys()) {
    await checkpoint(context.cancellation);
    context.progress({ stage, done: index, total, unit: 'steps' });
    [hidden = hidden] = await executor.pass(index, [hidden], skipped);
  }
  await checkpoint(context.cancellation);
  const output = activated(await executor.output(hidden), executor.model.output.activation);
  context.progress({ stage, done: total, total, unit: 'steps' });
  return output;
}

/** Values of an output after the activation that the epilogue omits. */
function activated(output: Tensor, activation: ModelOutput['activation']): Float32Array {
  const numbers = floatsIn(output);
  const width = output.dims.at(-1) ?? 1;
  if (activation === undefined) {
    return numbers;
  }
  const result = new Float32Array(numbers.length);
  for (let start = 0; start < numbers.length; start += width) {
    const row = numbers.subarray(start, start + width);
    const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
    const log = most + Math.log(sum);
    result.set(
      row.map((x) => (activation === 'Softmax' ? Math.exp(x - log) : x - log)),
      start,
    );
  }
  return result;
}

/**
 * Logits of an ONNX folder that was written, computed in two steps so that the key/value cache is
 * used if there is one.
 */
export async function writtenOnnxLogits(
  folder: string,
  ids: Int32Array,
  vocabularySize: number,
  context: JobContext,
): Promise<Float32Array> {
  const model = await CausalOnnxModel.open(join(folder, onnxName));
  return cachedLogits(model, ids, vocabularySize, checkingStage, context);
}

/** Output of a graph that isn't written yet and whose weights are in their original files. */
export async function graphLogits(
  graph: RunnableGraph,
  ids: Int32Array,
  vocabularySize: number,
  context: JobContext,
): Promise<Float32Array> {
  const model = await CausalOnnxModel.asItStands(graph);
  return cachedLogits(model, ids, vocabularySize, say`Running the source model`, context);
}

async function cachedLogits(
  model: CausalOnnxModel,
  ids: Int32Array,
  vocabularySize: number,
  stage: Message,
  context: JobContext,
): Promise<Float32Array> {
  try {
    const logits = new Float32Array(ids.length * vocabularySize);
    const split = Math.floor(ids.length / 2);
    let cache = model.emptyCache(1);
    const hasCache = Object.keys(cache).length > 0;
    const starts = hasCache ? [0, split] : [0];
    for (const [step, from] of starts.entries()) {
      const to = starts[step + 1] ?? ids.length;
      await checkpoint(context.cancellation);
      context.progress({ stage, done: from, total: ids.length, unit: 'steps' });
      const positions = Array.from({ length: to - from }, (_, i) => from + i);
      const result = await model.run(
        {
          inputIds: [[...ids.subarray(from, to)]],
          attentionMask: [Array.from({ length: to }, () => 1)],
          positionIds: [positions],
        },
        cache,
      );
      logits.set(result.logits, from * vocabularySize);
      cache = result.cache;
    }
    return logits;
  } finally {
    await model.dispose();
  }
}

/** Output of one model, and how it was computed. */
export interface ComparedOutput {
  readonly model: LayeredModel;
  readonly input: ModelInput;
  /** True if both outputs come from one session with the complete graph. */
  readonly isSameGraph: boolean;
  /** Error that rounding the weights may cause. */
  readonly roundingError?: number;
}

/** Largest max |a − b| / max |a| of outputs that the model computes in two ways, if more than that of float32. */
export function runningError(model: LayeredModel): number | undefined {
  if (model.graph !== undefined) {
    return model.graph.roundingError;
  }
  // Embedding lookups don't round.
  const heads = model.embeddingAndHeadMatrices.filter(({ place }) => place === 'head');
  const layers = model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);
  const isRounded = [...layers, ...heads].some(
    ({ encoding }) => encoding !== undefined && roundsInputs(encoding),
  );
  return isRounded ? eightBitError : undefined;
}

/**
 * Compares logits of the result with those of the source.
 * @throws UserError if they differ by more than the tolerance
 */
export function compareLogits(
  expected: Float32Array,
  actual: Float32Array,
  { model, input, isSameGraph, roundingError = 0 }: ComparedOutput,
  path: string,
): Verification {
  const tokens = input instanceof Int32Array ? input.length : 1;
  const running = isSameGraph ? tolerance : (runningError(model) ?? tolerance);
  const allowed = Math.max(running, roundingError);
  const smallest = model.output.givesProbabilities === true ? smallProbability : 0;
  const rows = roundingError > 0 && routesTokens(model) ? tokens : 1;
  const relativeError = largestDifference(expected, actual, smallest, rows);
  if (!(relativeError <= allowed)) {
    throw new UserError(
      'verification-failed',
      say`The logits of the written model differ from the source with the same changes: relative error ${relativeError.toExponential(2)} over ${describeCompared({ tokens, examples: !(input instanceof Int32Array) })}, allowed is ${allowed}.`,
      {
        file: path,
        remedy: say`The result was deleted, and the source is untouched. Please report this.`,
      },
    );
  }
  const vocabulary = input instanceof Int32Array ? model.emitter?.vocabularySize : undefined;
  return {
    relativeError,
    tolerance: allowed,
    ...(vocabulary !== undefined && expected.length === tokens * vocabulary
      ? { top1Agreement: top1Agreement(expected, actual, vocabulary) }
      : {}),
    tokens,
    ...(input instanceof Int32Array ? {} : { examples: true }),
  };
}

/** Share of rows [vocabulary] whose largest logit has the same index in both. */
function top1Agreement(a: Float32Array, b: Float32Array, vocabulary: number): number {
  let same = 0;
  for (let start = 0; start < a.length; start += vocabulary) {
    const end = start + vocabulary;
    same += argmax(a.subarray(start, end)) === argmax(b.subarray(start, end)) ? 1 : 0;
  }
  return (same * vocabulary) / a.length;
}

/** True if a router sends tokens to experts. After weights are rounded, it can send some tokens to others. */
const routesTokens = ({ summary }: LayeredModel): boolean =>
  summary.sublayers.some(({ kind }) => kind === 'expert');

/**
 * Share of the tokens that must be within the bound if the weights of a MoE model were rounded. If two experts of a token have
 * nearly the same score, rounding can exchange them, and the token's logits then differ by more than any bound on rounding.
 * Experts or router rows in a wrong order change most tokens instead. A file with exact weights is compared in full.
 */
const comparedShare = 0.9;

/** max |a − b| / max(max |a|, smallest). Of several rows, those that differ most are left out ({@link comparedShare}). */
function largestDifference(
  expected: Float32Array,
  actual: Float32Array,
  smallest: number,
  rows: number,
): number {
  if (actual.length !== expected.length) {
    return Number.POSITIVE_INFINITY;
  }
  const width = Math.ceil(expected.length / rows);
  const differences = Array.from({ length: rows }, () => 0);
  let scale = smallest;
  for (const [i, value] of expected.entries()) {
    const delta = Math.abs(value - (actual[i] ?? Number.NaN));
    if (Number.isNaN(delta)) {
      return Number.NaN;
    }
    const row = Math.floor(i / width);
    differences[row] = Math.max(differences[row] ?? 0, delta);
    scale = Math.max(scale, Math.abs(value));
  }
  const sorted = differences.sort((a, b) => a - b);
  return (sorted[Math.ceil(comparedShare * rows) - 1] ?? 0) / scale;
}
/** The first index of the largest value. */
const argmax = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > (values[best] ?? -Infinity) ? i : best), 0);

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
