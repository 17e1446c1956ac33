// Checks everything, or the stages that are named: node scripts/test.mjs [typecheck] [lint] [format] [knip]
// [generated] [build] [unit] [extension] [e2e]. The last line counts what passed and what failed.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { ensureDependencies } from './lib/dependencies.mjs';

import { capture, endWithParent } from './lib/processes.mjs';
import { root } from './lib/repository.mjs';
import { bold, dim, duration, green, red, say } from './lib/terminal.mjs';
import { runVitest } from './lib/vitest.mjs';

/** @typedef {import('../test/launch/extension-host.mjs').Counts} Counts */

const PROJECTS = ['.', 'webview', 'test/e2e', 'scripts'];

/** @type {Record<string, () => Promise<Counts>>} */
const STAGES = {
  typecheck: () =>
    checks(PROJECTS.map((project) => tool('typescript-native/bin/tsc', '--project', project))),
  lint: () => checks([tool('eslint/bin/eslint.js', '--max-warnings', '0', '.')]),
  format: () => checks([tool('prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.')]),
  knip: () => checks([tool('knip/bin/knip.js')]),
  generated: () => checks([script('generate.mjs', '--check')]),
  build: () => checks([script('build.mjs', '--tests')]),
  unit: async () => {
    await ensureBuilt();
    return runVitest('unit');
  },
  extension: async () => {
    await ensureBuilt();
    const { runExtensionSuites } = await import('../test/launch/extension-host.mjs');
    return runExtensionSuites();
  },
  e2e: async () => {
    await checkOrThrow(script('package.mjs'));
    return runVitest('e2e');
  },
};

/** Stages that make no sense once another has failed. */
const REQUIRED = new Map([
  ['unit', 'build'],
  ['extension', 'build'],
  ['e2e', 'build'],
]);

/** Stages that take one core, the longest first; all but the extension host, which waits much, say nothing before they end. */
const BESIDE = ['extension', 'lint', 'format', 'typecheck', 'knip', 'generated'];

/** The stages that ran, and whether they passed. */
const ran = new Map();

/**
 * What the stages that fail as a whole printed, said again at the end, where it is not scrolled away.
 * @type {string[]}
 */
const complaints = [];

/** Builds before a stage that is run alone. */
async function ensureBuilt() {
  if (!ran.has('build')) await checkOrThrow(script('build.mjs', '--tests'));
}

/**
 * @param {string} path inside node_modules
 * @param {string[]} args
 */
function tool(path, ...args) {
  return [join(root, 'node_modules', path), ...args];
}

/**
 * @param {string} name
 * @param {string[]} args
 */
function script(name, ...args) {
  return [join(root, 'scripts', name), ...args];
}

/**
 * A check that passes or fails as a whole; its output is shown when it fails.
 * @param {string[][]} commands
 * @returns {Promise<Counts>}
 */
async function checks(commands) {
  try {
    for (const command of commands) await checkOrThrow(command);
    return { passed: 1, failed: 0, skipped: 0 };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    say(text);
    complaints.push(text);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

/** @param {string[]} command */
async function checkOrThrow(command) {
  const { code, output } = await capture(process.execPath, command, { cwd: root, quiet: true });
  if (code !== 0) throw new Error(output.trim() || `${command.join(' ')} ended with ${code}`);
}

/** @param {string} name */
async function runStage(name) {
  const required = REQUIRED.get(name);
  if (required !== undefined && ran.get(required) === false) {
    throw new Error(`not run, since ${required} failed`);
  }
  const stage = STAGES[name];
  if (stage === undefined)
    throw new Error(`no such stage; there are ${Object.keys(STAGES).join(', ')}`);
  return stage();
}

/**
 * Runs a stage, counts what it says and tells how it went.
 * @param {string} name
 */
async function runAndTell(name) {
  const start = Date.now();
  const counts = await runStage(name).catch((error) => {
    say(red(error instanceof Error ? error.message : String(error)));
    return { passed: 0, failed: 1, skipped: 0 };
  });
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  ran.set(name, counts.failed === 0);
  const mark = counts.failed === 0 ? green('✓') : red('✗');
  say(`${mark} ${name}: ${summary(counts)} ${dim(duration(Date.now() - start))}`);
}

/**
 * Runs stages beside each other, on as many cores as there are.
 * @param {string[]} names
 */
async function runBeside(names) {
  const waiting = [...names];
  const next = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      await runAndTell(name);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, next));
}

endWithParent();
// A GPU in software takes seconds of the processor per trial: only the tests of devices and of WebGPU use it.
process.env['VK_LOADER_DRIVERS_DISABLE'] = '*';
const asked = process.argv.slice(2);
const names = asked.length > 0 ? asked : Object.keys(STAGES);
const total = { passed: 0, failed: 0, skipped: 0 };
const begin = Date.now();
await ensureDependencies();
const beside = BESIDE.filter((name) => names.includes(name));
const alone = names.filter((name) => !beside.includes(name));
const first = alone.filter((name) => name === 'build');
for (const together of [
  first,
  beside,
  ...alone.filter((name) => name !== 'build').map((name) => [name]),
]) {
  if (together.length > 0) say(bold(`▸ ${together.join(', ')}`));
  await runBeside(together);
}
const failed = [...ran].filter(([, passed]) => !passed).map(([name]) => name);
if (failed.length > 0) say(red([`Failed: ${failed.join(', ')}`, ...complaints].join('\n')));
say(dim(`All of it took ${duration(Date.now() - begin)}`));
say(summary(total));
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

/** @param {Counts} counts */
function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
