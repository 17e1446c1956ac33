import { join } from 'node:path';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { makeFolder } from '../../jobs/work-folder';
import type { DeviceName } from '../../runtime/device';
import { machineCosts } from './machine-costs';
import type { MachineCosts } from './machine-costs';
import { say } from '../../message';

/**
 * Costs of this machine, from a folder with one file per device. Measures them if they aren't known, or if `again` is
 * set.
 * @throws UserError if the folder isn't writable
 */
export async function costsInFolder(
  folder: string,
  device: DeviceName,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
  again = false,
): Promise<MachineCosts> {
  await makeFolder(folder, say`Move your user's cache folder, or make it writable.`);
  return machineCosts({
    device,
    file: join(folder, `${device}.json`),
    again,
    afterGraph: async (done, total) => {
      context.progress({
        stage: say`Timing matmuls on this machine`,
        done,
        total,
        unit: 'steps',
      });
      await checkpoint(context.cancellation);
    },
  });
}
