import type { LayeredExecutor } from '../runtime/layered-executor';
import { LogitsReadout } from './logits-readout';
import type { Metric, MetricName } from './metrics';
import { OutputReadout } from './output-readout';
import type { MetricReadout } from './row-readout';
import type { Vocabulary } from './vocabulary';

interface ReadoutOptions {
  /** Executor of the original, if its head differs from the candidates'. */
  readonly original?: LayeredExecutor | undefined;
  /** Ids that terms may be summed over: `sampled` ids are unbiased, `bounded` ids give a lower bound. */
  readonly vocabulary?: Vocabulary;
}

/** @param executor runs the candidates */
export function createReadout(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
  { original = executor, vocabulary = 'whole' }: ReadoutOptions = {},
): MetricReadout {
  const [candidates, reference] = [executor.model.emitter, original.model.emitter];
  return candidates === undefined || reference === undefined
    ? new OutputReadout(executor, name, metric, original)
    : new LogitsReadout(executor, name, metric, original, { candidates, reference }, vocabulary);
}

/** One readout per vocabulary; reads the whole vocabulary if the model, metric or memory doesn't allow another. */
export function createReadouts(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
): Readonly<Record<Vocabulary, MetricReadout>> {
  const over = (vocabulary: Vocabulary): MetricReadout =>
    createReadout(executor, name, metric, { vocabulary });
  return { whole: over('whole'), sampled: over('sampled'), bounded: over('bounded') };
}
