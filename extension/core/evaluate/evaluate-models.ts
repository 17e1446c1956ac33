import { readTokens } from '../data/text-tokens';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import { openModel } from '../models/open-model';
import { requireExperts, resolveIds } from '../prune/candidates';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import type { Evaluation, EvaluationResult } from './evaluation';
import { defaultWindowLength, evaluatePerplexity } from './perplexity';

/** What to evaluate, on what. */
export interface EvaluationRequest {
  /** Path of a model folder or one of its files. */
  readonly model: string;
  /** Ids of sublayers and experts of `model` to leave out, or of whole blocks. */
  readonly removed: readonly string[];
  /** A second model, evaluated whole on the same text; may be `model` itself. */
  readonly against?: string;
  /** Held-out text: a .txt, .md or .jsonl file. */
  readonly text: string;
  /** Tokens per window. */
  readonly length?: number;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Perplexity and throughput of one model, or of two on the same windows of text. */
export async function evaluateModels(
  request: EvaluationRequest,
  context: JobContext,
): Promise<EvaluationResult> {
  const model = await openModel(request.model);
  const other = request.against === undefined ? undefined : await openModel(request.against);
  const removed = new Set(resolveIds(model.summary, request.removed, { field: 'removed' }));
  requireExperts(model.summary, removed, { field: 'removed' });
  const ids = await readTokens(request.text, model);
  const otherIds = other && (await readTokens(request.text, other));
  if (other !== undefined && otherIds !== undefined && !equal(ids, otherIds)) {
    context.warn(
      `${model.summary.name} and ${other.summary.name} divide the text into different tokens, so that their perplexities cannot be compared.`,
    );
  }
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const length = Math.min(
    request.length ?? defaultWindowLength,
    model.summary.maxPositions ?? Number.POSITIVE_INFINITY,
    other?.summary.maxPositions ?? Number.POSITIVE_INFINITY,
  );
  const evaluate = async (
    evaluated: LayeredModel,
    tokens: Int32Array,
    gone: ReadonlySet<number>,
  ): Promise<Evaluation> => {
    const executor = new LayeredExecutor(evaluated, device, request.memoryBytes);
    try {
      return await evaluatePerplexity(executor, tokens, { length, removed: gone }, context);
    } finally {
      await executor.dispose();
    }
  };
  const result = await evaluate(model, ids, removed);
  return other === undefined || otherIds === undefined
    ? result
    : { ...result, against: await evaluate(other, otherIds, new Set()) };
}

function equal(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
