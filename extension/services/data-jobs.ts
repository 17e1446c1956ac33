import { basename } from 'node:path';
import type { Memento } from 'vscode';
import type { ScoreDataRequest, ScoreDataResult } from '../protocol/data';
import type { Jobs } from './jobs';
import { WorkerRequestError } from './worker-errors';

const key = 'interruptedScoring';

/** Scores data sets, and remembers a scoring that has begun and not ended well. */
export class DataJobs {
  readonly #jobs: Jobs;
  readonly #memento: Memento;

  public constructor(jobs: Jobs, memento: Memento) {
    this.#jobs = jobs;
    this.#memento = memento;
  }

  /** The scoring that can be gone on with: finished runs of it are kept beside its scores. */
  public get interrupted(): ScoreDataRequest | undefined {
    return this.#memento.get<ScoreDataRequest>(key);
  }

  public async score(request: ScoreDataRequest): Promise<ScoreDataResult> {
    this.#jobs.assertFree();
    // Stays where the window closes meanwhile.
    await this.#memento.update(key, request);
    try {
      const result = await this.#jobs.run('scoreData', request, {
        name: basename(request.data),
        model: request.data,
        shownInPanel: false,
      });
      await this.#memento.update(key, undefined);
      return result;
    } catch (error) {
      // What is wrong with the data or the model is wrong the next time too.
      if (error instanceof WorkerRequestError) {
        await this.#memento.update(key, undefined);
      }
      throw error;
    }
  }
}
