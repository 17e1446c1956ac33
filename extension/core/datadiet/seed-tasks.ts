import type { TaskJob } from '../jobs/child-task';
import { fitOnce } from './diet-material';
import type { Fit, FitRequest } from './diet-material';
import { scoreSeed } from './score-dataset';
import type { ScoreSeedRequest } from './score-dataset';
import { trainSeedOf } from './train-models';
import type { TrainRequest } from './train-models';

/** The training of one seed, as plain data that another process can be sent. */
export type SeedTask =
  | { readonly kind: 'train'; readonly request: TrainRequest; readonly seed: number }
  | { readonly kind: 'score'; readonly request: ScoreSeedRequest; readonly seed: number }
  | { readonly kind: 'fit'; readonly request: FitRequest; readonly fit: Fit };

/**
 * Does a task in this process. Of `train` and `score` the result lies in the folder of the request; of `fit`
 * it is returned.
 */
export async function runSeedTask(task: SeedTask, job: TaskJob): Promise<unknown> {
  switch (task.kind) {
    case 'train':
      await trainSeedOf(task.request, task.seed, job);
      return undefined;
    case 'score':
      await scoreSeed(task.request, task.seed, job);
      return undefined;
    case 'fit':
      return fitOnce(task.request, task.fit, job);
  }
}
