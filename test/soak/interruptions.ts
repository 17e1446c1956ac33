import child_process from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import { PerformanceObserver } from 'node:perf_hooks';
import { threadMilliseconds } from './thread-time';

export interface Interruption {
  /** By the clock of `performance`. */
  readonly from: number;
  readonly milliseconds: number;
}

/** Shorter ones make no turn long, however many: a profile showed 12 ms of collecting in pieces of under 2 ms. */
const leastMilliseconds = 0.3;

/**
 * Interruptions of the thread by code other than Espalier's: garbage collection, and processes that the editor's other
 * extensions start, which take longer the more memory the process has.
 */
export class Interruptions {
  readonly #all: Interruption[] = [];
  readonly #collections = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) this.#add(startTime, duration);
  });
  readonly #spawn = child_process.spawn;

  /** @param own part of the path of Espalier's own bundles */
  public start(own: string): void {
    this.#collections.observe({ entryTypes: ['gc'] });
    const timed = (...args: Parameters<typeof child_process.spawn>): unknown => {
      const from = performance.now();
      const before = threadMilliseconds();
      try {
        return this.#spawn(...args);
      } finally {
        if (new Error().stack?.includes(own) !== true)
          this.#add(from, threadMilliseconds() - before);
      }
    };
    Object.assign(child_process, { spawn: timed });
    syncBuiltinESMExports();
  }

  public stop(): void {
    this.#collections.disconnect();
    Object.assign(child_process, { spawn: this.#spawn });
    syncBuiltinESMExports();
  }

  /** Milliseconds of a turn that they took. */
  public within(from: number, to: number): number {
    return this.#all
      .filter((each) => each.from >= from && each.from <= to)
      .reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  }

  #add(from: number, milliseconds: number): void {
    if (milliseconds >= leastMilliseconds) this.#all.push({ from, milliseconds });
  }
}
