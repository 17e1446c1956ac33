// Runs the suites of test/extension in a real extension host: node test/launch/extension-host.mjs
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { root } from '../../scripts/lib/repository.mjs';
import { green, red, say } from '../../scripts/lib/terminal.mjs';
import { runInBrowser } from './browser.mjs';
import { findDesktopVsCode, runInDesktop } from './desktop.mjs';

/**
 * @typedef {object} SuiteRun
 * @property {string} extension the folder of the extension under development
 * @property {string} tests the module that exports `run(): Promise<void>`
 * @property {string} workspace the folder that is opened
 * @property {Record<string, string>} environment seen by the suites
 * @property {number} timeoutMilliseconds
 *
 * @typedef {object} TestResult one line of the results file
 * @property {'passed' | 'failed' | 'skipped' | 'end'} state
 * @property {string} title
 * @property {number} milliseconds
 * @property {string} [error] message and stack
 *
 * @typedef {{passed: number, failed: number, skipped: number}} Counts
 */

/**
 * Runs every suite and prints each result as it comes.
 * @param {{extension?: string, tests?: string, sample?: string, prepare?: (workspace: string) => void | Promise<void>, environment?: Record<string, string>, timeoutMilliseconds?: number}} [options]
 *   prepare: puts more into the workspace before it is opened
 * @returns {Promise<Counts>}
 */
export async function runExtensionSuites(options = {}) {
  const scratch = await mkdtemp(join(tmpdir(), 'espalier-extension-'));
  const workspace = join(scratch, 'workspace');
  const resultsFile = join(scratch, 'results.jsonl');
  await cp(options.sample ?? join(root, 'samples', 'espalier-sample'), join(workspace, 'sample'), {
    recursive: true,
  });
  await options.prepare?.(workspace);
  const follower = followResults(resultsFile);
  try {
    const code = await launch({
      extension: options.extension ?? root,
      tests: options.tests ?? join(root, 'dist', 'test', 'extension', 'index.js'),
      workspace,
      environment: { ...options.environment, ESPALIER_TEST_RESULTS: resultsFile },
      timeoutMilliseconds: options.timeoutMilliseconds ?? 40 * 60_000,
    });
    return await follower.finish(`the extension host ended with ${code} before the suites did`);
  } catch (error) {
    return await follower.finish(error instanceof Error ? error.message : String(error));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** @param {SuiteRun} suite */
async function launch(suite) {
  const desktop = findDesktopVsCode();
  if (desktop !== undefined) {
    say(`Extension suites in ${desktop}`);
    return runInDesktop(suite, desktop);
  }
  if (process.platform === 'win32') {
    say('Extension suites in a VS Code that test-electron downloads');
    return runInDesktop(suite, undefined);
  }
  say('Extension suites in code-server with a headless Chromium (no desktop VS Code here)');
  return runInBrowser(suite);
}

/**
 * Prints the results that the reporter in the extension host appends to a file.
 * @param {string} file
 */
function followResults(file) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: 0 };
  let printed = 0;
  let ended = false;
  const read = async () => {
    const text = await readFile(file, 'utf8').catch(() => '');
    const lines = text.split('\n').slice(0, -1);
    for (; printed < lines.length; printed++) {
      /** @type {TestResult} */
      const result = JSON.parse(lines[printed] ?? '');
      if (result.state === 'end') ended = true;
      else report(result, counts);
    }
  };
  const timer = setInterval(() => void read(), 500);
  return {
    /** @param {string} reason why the suites may not have reached their end */
    async finish(reason) {
      clearInterval(timer);
      await read();
      if (!ended) report({ state: 'failed', title: reason, milliseconds: 0 }, counts);
      return counts;
    },
  };
}

/**
 * @param {TestResult} result
 * @param {Counts} counts
 */
function report(result, counts) {
  if (result.state === 'end') return;
  counts[result.state]++;
  const mark = { passed: green('✓'), failed: red('✗'), skipped: '-' }[result.state];
  say(`  ${mark} ${result.title} (${result.milliseconds} ms)`);
  if (result.error !== undefined) say(red(result.error.replace(/^/gm, '      ')));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { passed, failed, skipped } = await runExtensionSuites();
  say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}
