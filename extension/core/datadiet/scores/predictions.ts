import type { Dataset } from '../../data/datasets/dataset';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { floatsIn } from '../../runtime/tensors';
import type { Tensor, Tensors } from '../../runtime/tensors';
import type { ProxyModel } from '../training/proxy-model';
import { isCorrect } from './scores';

/** Number of examples per run. */
const evaluationBatch = 256;

/** Model that computes logits [batch, classes]. */
interface Evaluator {
  readonly evaluate: (inputs: Tensors) => Promise<Tensor>;
}

/** Yields logits of a dataset's examples in batches: rows [batch, classes], and the examples. */
export async function* evaluateLogits(
  evaluator: Evaluator,
  proxy: ProxyModel,
  dataset: Dataset,
  examples: Int32Array,
  cancellation: Cancellation,
): AsyncGenerator<{ logits: Float32Array; batch: Int32Array; start: number }> {
  for (let start = 0; start < examples.length; start += evaluationBatch) {
    await checkpoint(cancellation);
    const batch = examples.slice(start, start + evaluationBatch);
    const output = await evaluator.evaluate(proxy.inputs(dataset, batch));
    yield { logits: floatsIn(output), batch, start };
  }
}

/** Top-1 accuracy. By default, evaluates all examples with their own labels. */
export async function measureAccuracy(
  evaluator: Evaluator,
  proxy: ProxyModel,
  dataset: Dataset,
  cancellation: Cancellation,
  {
    labels,
    examples = allExamples(dataset.size),
  }: { labels: Int32Array; examples?: Int32Array } = dataset,
): Promise<number> {
  let right = 0;
  for await (const { logits, batch } of evaluateLogits(
    evaluator,
    proxy,
    dataset,
    examples,
    cancellation,
  )) {
    right += isCorrect(logits, selectLabels(labels, batch)).reduce((sum, one) => sum + one, 0);
  }
  return right / Math.max(1, examples.length);
}

export const selectLabels = (labels: Int32Array, examples: Int32Array): Int32Array =>
  examples.map((example) => labels[example] ?? 0);

/** Returns 0, 1, …, size − 1. */
export const allExamples = (size: number): Int32Array =>
  Int32Array.from({ length: size }, (_, i) => i);
