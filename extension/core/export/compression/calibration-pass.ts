import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { ModelInput } from '../../models/example';
import type { LayeredModel } from '../../models/layered-model';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import { collectStatistics } from '../../tensornet/collect-statistics';
import type { InputStatistics } from '../../tensornet/input-statistics';

/**
 * Takes calibration through a model sublayer by sublayer and tells what went into its linear layers:
 * the statistics of one sublayer are held at a time.
 */
export class CalibrationPass {
  private constructor(
    private readonly executor: LayeredExecutor,
    private readonly removed: ReadonlySet<number>,
    private readonly context: JobContext,
    private states: readonly HiddenState[],
  ) {}

  /** A pass through the model without the sublayers and experts of `removed`. */
  public static async start(
    model: LayeredModel,
    removed: readonly string[],
    inputs: readonly ModelInput[],
    { device, memoryBytes }: { readonly device: DeviceName; readonly memoryBytes: number },
    context: JobContext,
  ): Promise<CalibrationPass> {
    const executor = new LayeredExecutor(model, device, memoryBytes);
    const units = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
    const states: HiddenState[] = [];
    for (const input of inputs) {
      await checkpoint(context.cancellation);
      states.push(await executor.embed(input));
    }
    return new CalibrationPass(executor, units, context, states);
  }

  /** Statistics of those linear layers of sublayer `index` that `ids` names; then goes behind it. */
  public async through(
    index: number,
    ids: ReadonlySet<string>,
  ): Promise<Map<string, InputStatistics>> {
    const { executor } = this;
    const afterRun = async (): Promise<void> => checkpoint(this.context.cancellation);
    const asked = executor.model.linearLayers?.(index).some(({ id }) => ids.has(id)) ?? false;
    const found = asked
      ? await collectStatistics(executor, index, this.states, ids, afterRun)
      : new Map<string, InputStatistics>();
    this.states = await executor.pass(index, this.states, this.removed, afterRun);
    return found;
  }

  public async dispose(): Promise<void> {
    await this.executor.dispose();
  }
}
