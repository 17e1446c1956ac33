import type { OpenedModel } from '../models/opened-model';
import type { DeviceName } from '../runtime/device';
import { LayeredExecutor } from '../runtime/layered-executor';
import { multiplications } from '../runtime/speed/model-speed';
import type { ExecutorWork, ModelWork } from '../runtime/speed/model-speed';

/** Amount of work of an operation, for an estimate of its time. */
export interface Work {
  /** Settings that affect the rate; only runs of the same kind are compared. */
  readonly kind: readonly unknown[];
  /** Amount, in a unit of the operation's own; time is proportional to it. */
  readonly amount: number;
  /** Parameters of the model, which affect the rate; absent if `kind` identifies the input. */
  readonly parameters?: number;
  /** Seconds after which the operation ends on any machine; absent if there is no limit. */
  readonly longest?: number;
  /** Runs of the model that make up most of the work; a short run of them estimates the time. */
  readonly probe?: WorkProbe;
}

/** Returns the work on a device within a memory setting, by executor. An int8 copy of the model has its own. */
export type WorkProbe = (where: {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}) => Promise<readonly ExecutorWork[]>;

/** Work that consists of running a model. */
export const runWork = (
  { model, summary }: OpenedModel,
  runs: ModelWork,
  ...kind: readonly unknown[]
): Work => ({
  kind,
  amount: multiplications(runs, model),
  parameters: summary.parameters,
  probe: async ({ device, memoryBytes }) =>
    Promise.resolve([{ executor: new LayeredExecutor(model, device, memoryBytes), work: runs }]),
});
