import type { LayeredExecutor } from '../runtime/layered-executor';
import { LogitsReadout } from './logits-readout';
import type { Metric, MetricName } from './metrics';
import { OutputReadout } from './output-readout';
import type { MetricReadout } from './row-readout';
import type { Vocabulary } from './vocabulary';

interface ReadoutOptions {
  /** Runs the original, where that has another head than the candidates. */
  readonly original?: LayeredExecutor | undefined;
  /** What terms may be taken over: `sampled` ids are right in the mean, `bounded` ones at most right. */
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

/** A readout for each vocabulary; over the whole one where a model, metric or memory has no other. */
export function createReadouts(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
): Readonly<Record<Vocabulary, MetricReadout>> {
  const over = (vocabulary: Vocabulary): MetricReadout =>
    createReadout(executor, name, metric, { vocabulary });
  return { whole: over('whole'), sampled: over('sampled'), bounded: over('bounded') };
}
