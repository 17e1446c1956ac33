import type { JobContext } from '../../jobs/job';
import type { LayeredModel } from '../../models/layered-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import type { CompressionChoice } from '../../tensornet/compression-choice';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { planRanks } from '../../tensornet/plan-ranks';
import { isInSublayer, chosenLayers } from './layer-choices';
import { startCalibration } from './start-calibration';
import type { CompressCalibration, StartedCalibration } from './start-calibration';

/** Data by which the layers are weighted. */
export interface SpreadSettings {
  readonly calibration?: CompressCalibration;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  readonly seed?: number;
}

/**
 * Redistributes the ranks of low-rank choices: the same total number of parameters, more for layers
 * with larger output errors, and none below half of its share by size.
 * @throws UserError as {@link planRanks}.
 */
export async function spreadRanks(
  model: LayeredModel,
  choices: readonly CompressionChoice[],
  { calibration, memoryBytes, ...settings }: SpreadSettings,
  context: JobContext,
): Promise<CompressionChoice[]> {
  const low = choices.filter(({ method }) => method === 'lowrank');
  const device = await resolveDevice(settings.device, (message) => {
    context.warn(message);
  });
  const products = new MatrixProducts(device, memoryBytes);
  let started: StartedCalibration | undefined;
  try {
    if (calibration !== undefined) {
      const run = { model, device, memoryBytes };
      started = await startCalibration(run, products, calibration, settings, context);
    }
    const planned = await planRanks(
      {
        choices: [...chosenLayers(model, low, []).values()].filter(isInSublayer),
        products,
        ...(started === undefined ? {} : { calibration: started.pass }),
        ...(settings.seed === undefined ? {} : { seed: settings.seed }),
      },
      context,
    );
    const ranks = new Map(planned.map((choice) => [choice.tensor, choice]));
    return choices.map((choice) => ranks.get(choice.tensor) ?? choice);
  } finally {
    await products.dispose();
    await started?.executor.dispose();
  }
}
