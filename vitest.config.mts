import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './scripts/lib/longest-first.mjs';
import { reportingForks } from './scripts/lib/reporting-forks.mjs';
import { scratchRoot } from './scripts/lib/scratch.mjs';

/** Tests that replace modules, which others in the same process would see, or that use a GPU. */
const apart = [
  'open-once',
  'operations/changing-operations',
  'operations/run-operation',
  'prune/screening',
  'reliability/bombs',
  'runtime/devices',
  'runtime/memory-groups',
  'runtime/webgpu',
  'services/fitted-page',
  'user-error',
].map((name) => `test/unit/${name}.test.ts`);

/** All that a run writes is gone after it, also what processes leave that are killed. */
const scratch = mkdtempSync(join(scratchRoot(), 'espalier-tests-'));
Object.assign(process.env, { TMPDIR: scratch });
process.once('exit', () => {
  rmSync(scratch, { recursive: true, force: true });
});

/** Cache of command lines, which holds known costs of the machine (test/unit/known-costs.ts). */
const cache = join(scratch, 'cache');

/** Tests wait for processes, timers and files: another one computes meanwhile. */
const maxWorkers = availableParallelism() + 1;

/** A test that takes so long hangs. Three at once, one of them on a GPU in software, take minutes on a busy machine. */
const hangMilliseconds = 300_000;

/** Time limit of `expect.poll`: the default of a second is too short on a busy machine. */
const expect = { poll: { timeout: 120_000 } };

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          pool: reportingForks,
          env: { XDG_CACHE_HOME: cache, ORT_DISABLE_TELEMETRY: '1' },
          setupFiles: [
            'test/unit/fail-with.ts',
            'test/unit/one-thread.ts',
            'test/unit/known-costs.ts',
          ],
          include: ['test/unit/**/*.test.ts'],
          exclude: apart,
          testTimeout: hangMilliseconds,
          hookTimeout: hangMilliseconds,
          expect,
          maxWorkers,
          // Loading the core and ONNX Runtime for each file takes a fifth of the time.
          isolate: false,
        },
      },
      {
        test: {
          name: 'unit-isolated',
          pool: reportingForks,
          env: { XDG_CACHE_HOME: cache },
          setupFiles: ['test/unit/fail-with.ts', 'test/unit/known-costs.ts'],
          include: apart,
          testTimeout: hangMilliseconds,
          hookTimeout: hangMilliseconds,
          expect,
          maxWorkers,
        },
      },
      ...['lint', 'packages'].map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          testTimeout: hangMilliseconds,
          hookTimeout: hangMilliseconds,
          isolate: false,
        },
      })),
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: 'test/e2e/support/installed.ts',
          testTimeout: 600_000,
          hookTimeout: 600_000,
          expect,
          // An editor that starts leaves half of two cores idle.
          maxWorkers: 2,
        },
      },
      {
        // Not a test: takes the pictures of docs/, see test/README.md.
        test: {
          name: 'pictures',
          include: ['test/e2e/**/*.pictures.ts'],
          globalSetup: 'test/e2e/support/installed.ts',
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
