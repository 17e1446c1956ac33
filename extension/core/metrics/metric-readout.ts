import type { LayeredExecutor } from '../runtime/layered-executor';
import { LogitsReadout } from './logits-readout';
import type { Metric, MetricName } from './metrics';
import { OutputReadout } from './output-readout';
import type { MetricReadout } from './row-readout';

/** @param original runs the original, where that has another head than the candidates, which `executor` runs */
export function createReadout(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
  original = executor,
): MetricReadout {
  const [candidates, reference] = [executor.model.emitter, original.model.emitter];
  return candidates === undefined || reference === undefined
    ? new OutputReadout(executor, name, metric, original)
    : new LogitsReadout(executor, name, metric, original, { candidates, reference });
}
