import type { OpenedModel } from '../models/opened-model';
import type { LayeredModel } from '../models/layered-model';
import type { DeviceName } from '../runtime/device';
import { multiplications } from '../runtime/speed/model-speed';
import type { ModelWork } from '../runtime/speed/model-speed';

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

/** Model and runs to time, on a device with a memory limit. */
export type WorkProbe = (where: {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}) => Promise<{
  /** May be a copy of the model in another encoding. */
  readonly model: LayeredModel;
  readonly runs: ModelWork;
}>;

/** Work that consists of running a model. */
export const runWork = (
  { model, summary }: OpenedModel,
  runs: ModelWork,
  ...kind: readonly unknown[]
): Work => ({
  kind,
  amount: multiplications(runs, model),
  parameters: summary.parameters,
  probe: async () => Promise.resolve({ model, runs }),
});
