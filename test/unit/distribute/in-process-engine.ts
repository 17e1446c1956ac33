import type {
  WorkerPool,
  Engine,
  WorkSetup,
  JobWorker,
} from '../../../extension/core/distribute/work-item';
import { say } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { WorkItemRunner } from '../../../extension/core/operations/run-work-item';

/** Workers in this process, which get copies of all that they are sent. */
export class InProcessEngine implements Engine {
  public readonly memoryShare = 1;
  /** Pieces that each worker has begun. */
  public readonly begun: number[] = [];

  /** @param change of a worker, to make it fail */
  public constructor(
    public readonly size: number,
    private readonly change: (worker: JobWorker, index: number, pool: WorkerPool) => JobWorker = (
      worker,
    ) => worker,
  ) {}

  public addWorkers(setup: WorkSetup, pool: WorkerPool): Promise<() => Promise<void>> {
    const runners = Array.from({ length: this.size - 1 }, (_, i) => {
      const runner = new WorkItemRunner(openModelFiles, '');
      let isNew = true;
      this.begun[i] = 0;
      const worker: JobWorker = {
        name: say`Worker ${i + 1}`,
        do: async ({ request }, job) => {
          this.begun[i] = (this.begun[i] ?? 0) + 1;
          const task = { setup: isNew ? setup : undefined, request, limits: { memoryShare: 1 } };
          isNew = false;
          return structuredClone(await runner.run(structuredClone(task), job));
        },
      };
      pool.join(this.change(worker, i, pool));
      return runner;
    });
    return Promise.resolve(async () => {
      await Promise.all(runners.map(async (runner) => runner.dispose()));
    });
  }
}
