import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { ChangeScorer } from '../../../extension/core/tensornet/sensitivity/change-scorer';

const memoryBytes = 1 << 28;

/** The distance of a whole model from its source, each with its own embedding and head, as sensitivity measures it. */
export async function measureDistance(
  path: string,
  source: string,
  calibration: Parameters<typeof loadModelInputs>[0],
  seed: number,
): Promise<number> {
  const model = await openModel(source);
  const { inputs } = await loadModelInputs(calibration, model, '', seed);
  const original = new LayeredExecutor(model, 'cpu', memoryBytes);
  const executor = new LayeredExecutor(await openModel(path), 'cpu', memoryBytes);
  const { cancellation } = unattended;
  const setup = { inputs, metric: 'kl', cancellation, onWork: () => undefined } as const;
  const reference = await new ChangeScorer({ ...setup, executor: original }).start();
  const scorer = new ChangeScorer({ ...setup, executor, original });
  const distance = await scorer.distance(await scorer.start(reference));
  await original.dispose();
  await executor.dispose();
  return distance;
}
