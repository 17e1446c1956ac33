import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { WritableType } from '../ggml-types';
import { quantizeRows } from './quantizers';

/** Whole rows of `length` values to quantize; see {@link quantizeRows}. */
export interface RowTask {
  readonly type: WritableType;
  readonly numbers: Float32Array;
  readonly length: number;
  readonly importance: Float32Array | undefined;
}

/** Writes rows as types of ggml. */
export interface RowWriter {
  /** Maximum number of tasks that may wait for their result. */
  readonly ahead: number;
  write(task: RowTask): Promise<Uint8Array>;
  end(): Promise<void>;
}

/** Below this number of values, threads don't pay off, because starting them takes 0.1 s. */
const leastNumbers = 1 << 22;
const mostThreads = 16;

/** Quantizes rows in the calling thread. */
export const singleThreadWriter: RowWriter = {
  ahead: 0,
  write: async ({ type, numbers, length, importance }) =>
    Promise.resolve(quantizeRows(type, numbers, length, importance)),
  end: async () => Promise.resolve(),
};

/**
 * A writer for a total number of values; it uses threads if these save time. Tests run from source,
 * which has no thread script.
 */
export function openRowWriter(
  numbers: number,
  script = join(import.meta.dirname, 'quantize.js'),
): RowWriter {
  const count = Math.min(availableParallelism(), mostThreads);
  if (numbers < leastNumbers || count < 2 || !existsSync(script)) {
    return singleThreadWriter;
  }
  const threads = new RowThreads(script, count);
  return threads.ahead === 0 ? singleThreadWriter : threads;
}

/** Threads that each write rows; they run no ONNX Runtime, so that they can be ended at any time. */
export class RowThreads implements RowWriter {
  public readonly ahead: number;
  private readonly threads: readonly RowThread[];

  public constructor(script: string, count: number) {
    this.threads = startThreads(script, count);
    this.ahead = 2 * this.threads.length;
  }

  public async write(task: RowTask): Promise<Uint8Array> {
    const free = this.threads.reduce((a, b) => (b.load < a.load ? b : a));
    return free.write(task);
  }

  public async end(): Promise<void> {
    await Promise.all(this.threads.map(async (thread) => thread.end()));
  }
}

/** Starts as many threads as the system allows. */
function startThreads(script: string, count: number): RowThread[] {
  const threads: RowThread[] = [];
  try {
    while (threads.length < count) {
      threads.push(new RowThread(script));
    }
  } catch {
    // The threads that started do all the work.
  }
  return threads;
}

class RowThread {
  private readonly worker: Worker;
  /** Callbacks waiting for a result, in the order of their tasks. */
  private waiting: { resolve: (bytes: Uint8Array) => void; reject: (error: Error) => void }[] = [];
  private failure: Error | undefined;

  public constructor(script: string) {
    this.worker = new Worker(script);
    this.worker.on('message', (bytes: Uint8Array) => {
      this.waiting.shift()?.resolve(bytes);
    });
    this.worker.on('error', (error: Error) => {
      this.fail(error);
    });
    this.worker.on('messageerror', (error) => {
      this.fail(error);
    });
    this.worker.on('exit', () => {
      this.fail(new Error('The thread that writes rows has ended.'));
    });
  }

  public get load(): number {
    return this.waiting.length;
  }

  public async write(task: RowTask): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) {
        reject(this.failure);
        return;
      }
      this.waiting.push({ resolve, reject });
      // A view would be sent with all that lies around it.
      const numbers = task.numbers.slice();
      const importance = task.importance?.slice();
      this.worker.postMessage({ ...task, numbers, importance } satisfies RowTask, [numbers.buffer]);
    });
  }

  public async end(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    const waiting = this.waiting;
    this.waiting = [];
    for (const { reject } of waiting) {
      reject(error);
    }
  }
}
