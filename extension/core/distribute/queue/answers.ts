import type { Redis } from 'ioredis';
import { WorkerLostError } from '../../jobs/child-task';
import { UserError } from '../../user-error';
import type { WorkItem } from '../work-item';
import { readMessage } from '../work-item';
import { decode, failureKey, failureSchema, resultKey } from './codec';
import { verbatim } from '../../message';

/** Polling interval in milliseconds, far below the time of a work item. */
const lookMilliseconds = 20;

interface Awaited {
  readonly piece: Pick<WorkItem, 'key' | 'result'>;
  /** @throws Error if the text is not a valid result */
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Waits for results of remote workers. Polls instead of subscribing, so that nothing is missed while the server is
 * unreachable; one request checks all results.
 */
export class Answers {
  private readonly awaited = new Map<string, Awaited>();
  private timer: NodeJS.Timeout | undefined;
  private isLooking = false;

  public constructor(private readonly redis: Redis) {}

  /**
   * Waits for the result of a work item.
   * @returns result
   * @throws the error of the attempt
   */
  public async wait<Result>(
    attempt: string,
    piece: Pick<WorkItem<Result>, 'key' | 'result'>,
  ): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.awaited.set(attempt, {
        ...{ piece, reject },
        resolve: (text) => {
          resolve(readMessage(piece.result, decode(text), 'Its result'));
        },
      });
      this.timer ??= setInterval(() => {
        void this.look();
      }, lookMilliseconds);
    });
  }

  /** Stops waiting for an attempt. */
  public abandon(attempt: string, error: Error): void {
    this.take(attempt)?.reject(error);
  }

  public stop(): void {
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    if (this.isLooking || this.awaited.size === 0) {
      return;
    }
    this.isLooking = true;
    try {
      const all = [...this.awaited];
      const keys = all.flatMap(([attempt, { piece }]) => [
        resultKey(piece.key),
        failureKey(attempt),
      ]);
      const texts = await this.redis.mget(keys);
      for (const [i, [attempt, { piece }]] of all.entries()) {
        const [result = null, failure = null] = [texts[2 * i], texts[2 * i + 1]];
        if (result !== null) {
          await this.settle(attempt, piece, result);
        } else if (failure !== null) {
          this.abandon(attempt, parseFailure(failure));
        }
      }
    } catch {
      // The server is unreachable; retried at the next tick.
    } finally {
      this.isLooking = false;
    }
  }

  private async settle(attempt: string, piece: Awaited['piece'], text: string): Promise<void> {
    const found = this.take(attempt);
    try {
      found?.resolve(text);
    } catch (error) {
      // Otherwise the next attempt would find the invalid result.
      await this.redis.del(resultKey(piece.key)).catch(() => undefined);
      found?.reject(error as Error);
    }
  }

  private take(attempt: string): Awaited | undefined {
    const found = this.awaited.get(attempt);
    this.awaited.delete(attempt);
    if (this.awaited.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
    return found;
  }
}

function parseFailure(text: string): Error {
  try {
    const failure = readMessage(failureSchema, decode(text), 'Its failure');
    const { text: why, log, isFinal, isLost } = failure;
    if (isFinal) {
      return new UserError('worker-error', verbatim(why), { remedy: undefined });
    }
    return isLost ? new WorkerLostError(why, log) : new Error(why);
  } catch (error) {
    return error as Error;
  }
}
