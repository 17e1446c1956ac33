import type {
  Crew,
  Engine,
  PieceSetup,
  PieceWorker,
} from '../../../extension/core/distribute/piece';
import { say } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { PieceRunner } from '../../../extension/core/operations/run-piece';

/** Workers in this process, which get copies of all that they are sent. */
export class InProcessEngine implements Engine {
  public readonly memoryShare = 1;
  /** Pieces that each worker has begun. */
  public readonly begun: number[] = [];

  /** @param change of a worker, to make it fail */
  public constructor(
    public readonly size: number,
    private readonly change: (worker: PieceWorker, index: number, crew: Crew) => PieceWorker = (
      worker,
    ) => worker,
  ) {}

  public hire(setup: PieceSetup, crew: Crew): Promise<() => Promise<void>> {
    const runners = Array.from({ length: this.size - 1 }, (_, i) => {
      const runner = new PieceRunner(openModelFiles, '');
      let isNew = true;
      this.begun[i] = 0;
      const worker: PieceWorker = {
        name: say`Worker ${i + 1}`,
        do: async ({ request }, job) => {
          this.begun[i] = (this.begun[i] ?? 0) + 1;
          const task = { setup: isNew ? setup : undefined, request, limits: { memoryShare: 1 } };
          isNew = false;
          return structuredClone(await runner.run(structuredClone(task), job));
        },
      };
      crew.join(this.change(worker, i, crew));
      return runner;
    });
    return Promise.resolve(async () => {
      await Promise.all(runners.map(async (runner) => runner.dispose()));
    });
  }
}
