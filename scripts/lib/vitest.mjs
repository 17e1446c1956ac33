import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { capture } from './processes.mjs';
import { root } from './repository.mjs';

/**
 * Runs the projects of vitest.config.mts whose names begin so.
 * @param {'unit' | 'e2e'} project
 * @param {{background?: boolean}} [options] background: as {@link capture} says
 * @returns {Promise<import('../../test/launch/extension-host.mjs').Counts>}
 */
export async function runVitest(project, { background = false } = {}) {
  const scratch = await mkdtemp(join(tmpdir(), 'espalier-vitest-'));
  const color = process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' };
  const report = join(scratch, 'report.json');
  try {
    const { code } = await capture(
      process.execPath,
      [
        join(root, 'node_modules', 'vitest', 'vitest.mjs'),
        ...['run', '--project', `${project}*`, '--reporter=default', '--reporter=json'],
        `--outputFile.json=${report}`,
      ],
      { cwd: root, env: { ...process.env, ...color }, background },
    );
    const counts = await readCounts(report);
    // A file that does not load, or an error outside every test, fails the run without failing a test.
    if (counts.failed === 0 && (code !== 0 || counts.passed === 0)) counts.failed = 1;
    return counts;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** @param {string} file */
async function readCounts(file) {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return { passed: 0, failed: 1, skipped: 0 };
  /** @type {{numPassedTests: number, numFailedTests: number, numPendingTests: number}} */
  const report = JSON.parse(text);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests,
    skipped: report.numPendingTests,
  };
}
