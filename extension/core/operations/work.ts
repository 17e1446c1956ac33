import type { OpenedModel } from '../models/opened-model';
import type { DeviceName } from '../runtime/device';
import { LayeredExecutor } from '../runtime/layered-executor';
import { multiplications } from '../runtime/speed/model-speed';
import type { ExecutorWork, ModelWork } from '../runtime/speed/model-speed';

/** What an operation has to do, for an estimate of its time. */
export interface Work {
  /** The settings that decide where its time goes: a rate of another kind says nothing. */
  readonly kind: readonly unknown[];
  /** How much there is of it, in a unit of the operation's own; seconds grow evenly with it. */
  readonly amount: number;
  /** Of the model, whose size decides the rate; absent where the kind names what is worked on. */
  readonly parameters?: number;
  /** Seconds after which the operation ends on any machine; absent if there is no limit. */
  readonly longest?: number;
  /** What it runs, where it does little else: a short run tells how long that takes. */
  readonly probe?: WorkProbe;
}

/** Returns the work on a device within a memory setting, by executor. An int8 copy of the model has its own. */
export type WorkProbe = (where: {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}) => Promise<readonly ExecutorWork[]>;

/** Work that is running a model. */
export const runsOf = (
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
