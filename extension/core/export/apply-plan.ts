import type { JobContext } from '../jobs/job';
import { openModel } from '../models/open-model';
import { RemovableUnits } from '../models/units';
import { resolveIds } from '../prune/candidates';
import type { PrunePlan } from './prune-plan';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { UserError } from '../user-error';
import type { DialectName } from './dialects';
import type { OutputFormat, PruneResult } from './prune-result';
import { writeModel } from './write-model';

/** A plan to carry out, and where. */
export interface PlanApplication {
  readonly model: string;
  readonly plan: PrunePlan;
  readonly out: string;
  /** The model's own form when absent. */
  readonly format?: OutputFormat;
  readonly dialect?: DialectName;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Calibration of the profile, on whose examples the result is checked where it holds such. */
  readonly examples?: string;
}

/**
 * Writes the model that a plan describes and checks it.
 * @throws UserError when the plan was made for another model, or nothing was written.
 */
export async function applyPlan(
  application: PlanApplication,
  context: JobContext,
): Promise<PruneResult> {
  const { model: modelPath, plan, out, format, overwrite, memoryBytes } = application;
  const { summary } = await openModel(modelPath);
  if (plan.model.fingerprint !== undefined && plan.model.fingerprint !== summary.fingerprint) {
    throw new UserError(`The plan was made for another model than ${summary.path}.`, {
      field: 'model.fingerprint',
      remedy: 'Profile this model again, or delete the field to apply the plan all the same.',
    });
  }
  const units = new RemovableUnits(summary);
  const removed = resolveIds(summary, plan.remove, { field: 'remove' }).map((unit) =>
    units.idOf(unit),
  );
  const device = await resolveDevice(application.device, (message) => {
    context.warn(message);
  });
  return writeModel(
    {
      modelPath,
      removed,
      out,
      ...(format === undefined ? {} : { format }),
      ...(application.dialect === undefined ? {} : { dialect: application.dialect }),
      overwrite,
      device,
      memoryBytes,
      ...(application.examples === undefined ? {} : { examples: application.examples }),
    },
    context,
  );
}
