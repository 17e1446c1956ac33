import process from 'node:process';
import { ForksPoolWorker } from 'vitest/node';

const name = 'reporting-forks';

/** A process for tests that reports which signal ended it: vitest says "Worker exited unexpectedly" only. */
class ReportingFork extends ForksPoolWorker {
  /** @override Files that share a process look for it by this name. */
  name = name;
  #isStopping = false;

  /** @override */
  async start() {
    await super.start();
    const report = (/** @type {[number | null, string | null]} */ ...[code, signal]) => {
      if (this.#isStopping) return;
      const end = signal === null ? `exit code ${code}` : signal;
      process.stderr.write(`A process that runs tests ended with ${end}.\n`);
    };
    this.on('exit', /** @type {(code: unknown) => void} */ (report));
  }

  /** @override */
  async stop() {
    this.#isStopping = true;
    await super.stop();
  }
}

/** Pool of such processes. */
export const reportingForks = {
  name,
  /** @param {import('vitest/node').PoolOptions} options */
  createPoolWorker: (options) => new ReportingFork(options),
};
