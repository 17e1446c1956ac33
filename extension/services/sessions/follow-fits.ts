import { describeVerification } from '../../core/export/verification';
import { isFitted } from '../../core/operations/fit-model';
import type { SmallerModel } from '../../protocol/smaller';
import { localise } from '../localise';
import type { JobService } from '../jobs/job-service';

/** Opens the report of each model that was made smaller. */
export function followFits(
  jobs: JobService,
  reports: { readonly show: (smaller: SmallerModel) => void },
): void {
  jobs.follow('fit', {
    done: (result, { name, model }) => {
      if (isFitted(result)) {
        reports.show({
          ...{ ...result, name, source: model },
          verified: localise(describeVerification(result.verification)),
        });
      }
    },
  });
}
