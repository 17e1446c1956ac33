import type { LayeredExecutor } from '../runtime/layered-executor';
import { LogitsReadout } from './logits-readout';
import type { Metric, MetricName } from './metrics';
import { OutputReadout } from './output-readout';
import type { MetricReadout } from './row-readout';

interface ReadoutOptions {
  /** Runs the original, where that has another head than the candidates. */
  readonly original?: LayeredExecutor | undefined;
  /** Whether some ids may stand for a large vocabulary: right in the mean, at a fraction of the cost. */
  readonly samples?: boolean;
}

/** @param executor runs the candidates */
export function createReadout(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
  { original = executor, samples = false }: ReadoutOptions = {},
): MetricReadout {
  const [candidates, reference] = [executor.model.emitter, original.model.emitter];
  return candidates === undefined || reference === undefined
    ? new OutputReadout(executor, name, metric, original)
    : new LogitsReadout(executor, name, metric, original, { candidates, reference }, samples);
}
