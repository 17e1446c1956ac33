import { alone } from './with-crew';
import type { Crew, Engine, HireMeans, PieceSetup, PieceWorker } from './piece';

/** Worker that is shared by consecutive jobs and finishes one work item before the next. */
class OneByOne implements PieceWorker {
  /** True if no other job may use it. */
  public isRetired = false;
  private last: Promise<unknown> = Promise.resolve();

  public constructor(private readonly worker: PieceWorker) {}

  public get name(): PieceWorker['name'] {
    return this.worker.name;
  }

  public readonly do: PieceWorker['do'] = async (piece, job) => {
    const found = this.last.then(async () => this.worker.do(piece, job));
    this.last = found.catch(() => undefined);
    return found;
  };
}

/** Engine that keeps workers between jobs with the same setup, so that they are found and checked once. */
export class StandingEngine implements Engine {
  public readonly threads: Engine['threads'];
  public readonly size: Engine['size'];
  public readonly memoryShare: Engine['memoryShare'];
  public readonly mostResultBytes: Engine['mostResultBytes'];
  private readonly there = new Map<PieceWorker, OneByOne>();
  private key: string | undefined;
  private crew: Crew | undefined;
  private dismiss: (() => Promise<void>) | undefined;

  public constructor(private readonly engine: Engine) {
    this.threads = engine.threads;
    this.size = engine.size;
    this.memoryShare = engine.memoryShare;
    this.mostResultBytes = engine.mostResultBytes;
  }

  public async hire(setup: PieceSetup, crew: Crew, means: HireMeans): Promise<() => Promise<void>> {
    if (setup.key !== this.key) {
      await this.end();
      this.crew = crew;
      this.dismiss = await this.engine.hire(setup, this.relay(), means);
      this.key = setup.key;
    } else {
      this.crew = crew;
      for (const worker of this.there.values()) {
        if (!worker.isRetired) {
          crew.join(worker);
        }
      }
    }
    return () => {
      this.crew = undefined;
      return Promise.resolve();
    };
  }

  /** Releases all workers. */
  public async end(): Promise<void> {
    const { dismiss } = this;
    this.key = this.crew = this.dismiss = undefined;
    this.there.clear();
    await dismiss?.();
  }

  private relay(): Crew {
    return {
      join: (worker) => {
        const one = new OneByOne(worker);
        this.there.set(worker, one);
        this.crew?.join(one);
      },
      retire: (worker) => {
        const one = this.there.get(worker);
        if (one !== undefined) {
          one.isRetired = true;
          this.crew?.retire(one);
        }
      },
      leave: (worker, why) => {
        const one = this.there.get(worker);
        this.there.delete(worker);
        if (one !== undefined) {
          this.crew?.leave(one, why);
        }
      },
    };
  }
}

/** Runs a function with an engine whose workers are kept for all of its jobs. */
export async function withStanding<T>(
  engine: Engine | undefined,
  action: (engine: Engine | undefined) => Promise<T>,
): Promise<T> {
  if (engine === undefined || engine === alone) {
    return action(engine);
  }
  const standing = new StandingEngine(engine);
  try {
    return await action(standing);
  } finally {
    await standing.end();
  }
}
