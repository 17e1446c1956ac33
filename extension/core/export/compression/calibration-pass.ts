import type { JobContext } from '../../jobs/job';
import { checkpoint } from '../../jobs/job';
import type { ModelInput } from '../../models/example';
import type { LayeredModel } from '../../models/layered-model';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import type { InputStatistics } from '../../tensornet/input-statistics';

/**
 * Takes calibration through a model sublayer by sublayer, and tells what went into linear layers on
 * the way: only one sublayer's statistics are held at a time.
 */
export class CalibrationPass {
  private next = 0;

  private constructor(
    private readonly executor: LayeredExecutor,
    private states: readonly HiddenState[],
    private readonly context: JobContext,
  ) {}

  public static async start(
    model: LayeredModel,
    inputs: readonly ModelInput[],
    { device, memoryBytes }: { readonly device: DeviceName; readonly memoryBytes: number },
    context: JobContext,
  ): Promise<CalibrationPass> {
    const executor = new LayeredExecutor(model, device, memoryBytes);
    const states: HiddenState[] = [];
    for (const input of inputs) {
      await checkpoint(context.cancellation);
      states.push(await executor.embed(input));
    }
    return new CalibrationPass(executor, states, context);
  }
}
