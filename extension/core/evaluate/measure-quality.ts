import { memoryContext } from '../quality-labels';
import { existsSync } from 'node:fs';
import { verificationInput } from '../export/verify';
import { holdsTranscripts } from '../data/model-inputs';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { predictedIds } from '../models/example';
import type { ModelInput } from '../models/model-input';
import { memoryAt } from '../models/model-summary';
import type { ModelSummary } from '../models/model-summary';
import type { LayeredModel } from '../models/layered-model';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { availableProcessMemory } from '../runtime/limits/process-memory';
import { leastMemory, requireMemory } from '../runtime/memory-shares';
import { floatsIn } from '../runtime/tensors';
import { weightArenas } from '../runtime/session';
import { UserError } from '../user-error';
import { readHeldOut } from './held-out';
import { modelWindowLength } from './perplexity';
import { say } from '../message';

/** Differences between a changed model and its original on a few inputs. */
export interface Quality {
  /** Positions of the output that were compared. */
  readonly positions: number;
  /** True if only the first of the default windows were compared, because all would have taken too long. */
  readonly partial?: true;
  /** `js`: Jensen–Shannon divergence in nats, mean over positions; `relative`: ‖a − b‖ / ‖a‖ of an output of values. */
  readonly metric: 'js' | 'relative';
  readonly distance: number;
  /**
   * Fraction of the positions at which both models predict the same top-1 class or token; for
   * scores only.
   */
  readonly top1Agreement?: number;
  /** Bytes of weights, keys and values at a context of 4096 tokens; absent if the model has no cache. */
  readonly memory?: { readonly before: number; readonly after: number };
  /**
   * Perplexity on held-out text and number of predicted tokens; absent if the model was run on
   * other inputs.
   */
  readonly perplexity?: {
    readonly before: number;
    readonly after: number;
    readonly tokens: number;
  };
}

/** Models to compare. */
export interface QualityRequest {
  readonly original: OpenedModel;
  readonly changed: OpenedModel;
  /** Held-out text for models that read text. */
  readonly text: string;
  /** Examples for models that don't read text; random ones if absent. */
  readonly examples?: string;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Time limit of a comparison that the user didn't request, after a minimum number of inputs. */
const [mostMilliseconds, leastInputs] = [10_000, 2];

/**
 * Compares the outputs of a changed model with the original's: on the default held-out windows, on fewer if all take
 * longer than {@link mostMilliseconds}, or on one example if the models read no text.
 */
export async function measureQuality(
  request: QualityRequest,
  context: JobContext,
): Promise<Quality> {
  const { model: original } = request.original;
  const { model: changed } = request.changed;
  const { inputs, areText } = await inputsToCompare(original, request);
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  // The check of a written model may have taken some of the memory.
  weightArenas.clear();
  const memoryBytes = Math.min(request.memoryBytes, availableProcessMemory());
  const models = [original, changed];
  const fitTogether = models.every((model) => leastMemory(model, device) <= memoryBytes / 2);
  const executors = models.map((model) => {
    requireMemory(model, memoryBytes, device);
    return new LayeredExecutor(model, device, fitTogether ? memoryBytes / 2 : memoryBytes);
  });
  const run = async (executor: LayeredExecutor, input: ModelInput): Promise<Output> => {
    const output = await runModel(executor, input, context);
    if (!fitTogether) {
      await executor.rest();
    }
    return output;
  };
  const [before, after] = executors;
  if (before === undefined || after === undefined) {
    throw new RangeError('two models are compared');
  }
  const sums = new Sums(original.output.givesScores);
  const started = performance.now();
  let partial: { readonly partial?: true } = {};
  try {
    for (const [i, input] of inputs.entries()) {
      if (i >= leastInputs && performance.now() - started > mostMilliseconds) {
        partial = { partial: true };
        break;
      }
      context.progress({
        stage: say`Comparing with the original`,
        done: i,
        total: inputs.length,
        unit: 'sequences',
      });
      const [a, b] = [await run(before, input), await run(after, input)];
      sums.add(a, b, areText ? predictedIds(original, input) : undefined);
    }
    // Without caches memory is the size once more.
    const memory = keepsCache(original.summary) ? comparedMemory(original, changed) : {};
    return { ...sums.quality(), ...partial, ...memory };
  } finally {
    await Promise.all(executors.map(async (executor) => executor.dispose()));
  }
}

const keepsCache = ({ sublayers }: ModelSummary): boolean =>
  sublayers.some(({ kvBytesPerToken }) => kvBytesPerToken > 0);

/**
 * Memory of two models including caches; absent if one is a graph whose caches are unknown because its streams weren't
 * followed.
 */
export function comparedMemory(
  { summary: before }: Pick<LayeredModel, 'summary'>,
  { summary: after, kind }: Pick<LayeredModel, 'summary' | 'kind'>,
): Pick<Quality, 'memory'> {
  const context = memoryContext(before);
  return kind === 'graph' && keepsCache(before) && !keepsCache(after)
    ? {}
    : { memory: { before: memoryAt(before, context), after: memoryAt(after, context) } };
}

/** Windows of text, or one example for models that read none. */
export async function inputsToCompare(
  model: LayeredModel,
  { text, examples }: Pick<QualityRequest, 'text' | 'examples'>,
): Promise<{ readonly inputs: readonly ModelInput[]; readonly areText: boolean }> {
  const found =
    (await textWindows(model, text)) ??
    ((await holdsTranscripts(examples, model))
      ? await textWindows(model, examples ?? '')
      : undefined);
  if (found !== undefined) {
    return { inputs: found, areText: true };
  }
  const file = examples !== undefined && existsSync(examples) ? examples : undefined;
  return {
    inputs: [await verificationInput(model, model.summary.path, file)],
    areText: false,
  };
}

/** Windows of the held-out text; undefined if the model reads no text, or its tokenizer or vocabulary doesn't fit. */
async function textWindows(
  model: LayeredModel,
  file: string,
): Promise<readonly ModelInput[] | undefined> {
  if (!model.output.givesScores || model.summary.vocabularySize === undefined) {
    return undefined;
  }
  try {
    const length = modelWindowLength(model);
    return await readHeldOut(file, model, length);
  } catch (error) {
    if (error instanceof UserError) {
      return undefined;
    }
    throw error;
  }
}

interface Output {
  readonly values: Float32Array;
  readonly width: number;
}

async function runModel(
  executor: LayeredExecutor,
  input: ModelInput,
  { cancellation }: JobContext,
): Promise<Output> {
  let state = await executor.embed(input);
  for (const index of executor.model.summary.sublayers.keys()) {
    await checkpoint(cancellation);
    [state = state] = await executor.pass(index, [state], new Set());
  }
  const output = await executor.output(state);
  return { values: floatsIn(output), width: output.dims.at(-1) ?? 1 };
}

/** Sums over positions. */
class Sums {
  private positions = 0;
  private distance = 0;
  private agreed = 0;
  private squares = 0;
  private readonly losses = { before: 0, after: 0, tokens: 0 };

  public constructor(private readonly areScores: boolean) {}

  /** @param next the id after each position, if known */
  public add(a: Output, b: Output, next: Int32Array | undefined): void {
    const { width } = a;
    const rows = a.values.length / width;
    for (let row = 0; row < rows; row++) {
      const [x, y] = [a, b].map(({ values }) => values.subarray(row * width, (row + 1) * width));
      if (x !== undefined && y !== undefined) {
        this.addRow(x, y, next?.[row]);
      }
    }
    this.positions += rows;
  }

  public quality(): Quality {
    const { positions, losses } = this;
    if (!this.areScores) {
      return {
        positions,
        metric: 'relative',
        distance: Math.sqrt(this.distance / this.squares),
      };
    }
    return {
      positions,
      metric: 'js',
      distance: this.distance / positions,
      top1Agreement: this.agreed / positions,
      ...(losses.tokens === 0
        ? {}
        : {
            perplexity: {
              before: Math.exp(losses.before / losses.tokens),
              after: Math.exp(losses.after / losses.tokens),
              tokens: losses.tokens,
            },
          }),
    };
  }

  private addRow(x: Float32Array, y: Float32Array, next: number | undefined): void {
    if (!this.areScores) {
      for (const [i, value] of x.entries()) {
        this.distance += (value - (y[i] ?? Number.NaN)) ** 2;
        this.squares += value ** 2;
      }
      return;
    }
    const [p, q] = [normalizer(x), normalizer(y)];
    let [divergence, best, other] = [0, 0, 0];
    for (const [i, value] of x.entries()) {
      const [logP, logQ] = [value - p, (y[i] ?? Number.NaN) - q];
      const [probability, changed] = [Math.exp(logP), Math.exp(logQ)];
      const logM = Math.log((probability + changed) / 2);
      divergence += probability > 0 ? probability * (logP - logM) : 0;
      divergence += changed > 0 ? changed * (logQ - logM) : 0;
      best = value > (x[best] ?? 0) ? i : best;
      other = (y[i] ?? 0) > (y[other] ?? 0) ? i : other;
    }
    this.distance += Math.max(0, divergence / 2);
    this.agreed += best === other ? 1 : 0;
    if (next !== undefined) {
      this.losses.before += p - (x[next] ?? Number.NaN);
      this.losses.after += q - (y[next] ?? Number.NaN);
      this.losses.tokens++;
    }
  }
}

/** log Σ exp(x). */
function normalizer(x: Float32Array): number {
  const most = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return most + Math.log(x.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
