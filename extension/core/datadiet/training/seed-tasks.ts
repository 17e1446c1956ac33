import type { TaskJob } from '../../jobs/child-task';
import { fitOnce } from '../subsets/diet-material';
import { scoreSeed } from '../scores/score-dataset';
import type { SeedTask } from './seed-task';
import { trainSeedOf } from './train-models';

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
