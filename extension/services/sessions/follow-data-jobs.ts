import { removeStale } from '../../core/jobs/partial';
import { dataOperations } from '../../protocol/data';
import type { JobService } from '../jobs/job-service';
import type { DataMaps } from './data-maps';

/** Shows results of jobs in the maps of their datasets. */
export function followDataJobs(jobs: JobService, dataMaps: DataMaps): void {
  jobs.follow('score-data', {
    done: async (_, { request: { out: scores } }) => {
      await dataMaps.reload(scores);
      await dataMaps.show({ scores });
    },
  });
  jobs.follow('data-diet', {
    done: async (_, { request }) => dataMaps.reloadData(request.data),
  });
  for (const operation of dataOperations) {
    jobs.follow(operation, {
      // // A process that was killed couldn't remove its temporary files.
      stopped: async ({ request }) => removeStale(request.out).catch(() => undefined),
    });
  }
}
