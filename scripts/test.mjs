// Runs all stages, or those that are named: node scripts/test.mjs [--all] [typecheck] [lint] [format] [knip] [generated]
// [build] [packages] [unit] [extension] [e2e]. --all runs every case of the matrices that are sampled otherwise. The last
// line counts what passed and what failed.
import { join } from 'node:path';
import process from 'node:process';
import { ensureDependencies } from './lib/dependencies.mjs';

import { capture, endWithParent } from './lib/processes.mjs';
import { root } from './lib/repository.mjs';
import { scratchRoot } from './lib/scratch.mjs';
import { dim, duration, green, red, say } from './lib/terminal.mjs';
import { ensureValkey } from './lib/valkey.mjs';
import { runVitest } from './lib/vitest.mjs';

/** @typedef {import('../test/launch/extension-host.mjs').Counts} Counts */

const PROJECTS = ['.', 'webview', 'test/e2e', 'scripts'];

/** @type {Record<string, () => Promise<Counts>>} */
const STAGES = {
  typecheck: () =>
    // Several threads would each check what all files import.
    checks(
      PROJECTS.map((project) =>
        tool('typescript-native/bin/tsc', '--singleThreaded', '--project', project),
      ),
      // Half of what is left would go to collecting garbage.
      { GOGC: '400' },
    ),
  lint: () =>
    checks([
      tool('oxlint/bin/oxlint', '-c', 'oxlint.config.mjs', '--max-warnings', '0'),
      tool('vitest/vitest.mjs', 'run', '--project', 'lint'),
    ]),
  format: () => checks([tool('oxfmt/bin/oxfmt', '--check')]),
  knip: () => checks([tool('knip/bin/knip.js')]),
  generated: () => checks([script('generate.mjs', '--check')]),
  build: () => checks(BUILDS),
  packages: async () => {
    await ensureBuilt();
    return checks([tool('vitest/vitest.mjs', 'run', '--project', 'packages')]);
  },
  unit: async () => {
    await ensureBuilt();
    return runVitest('unit', { background: true });
  },
  extension: async () => {
    await ensureBuilt();
    const { runExtensionSuites } = await import('../test/launch/extension-host.mjs');
    return runExtensionSuites();
  },
  e2e: async () => {
    await ensureBuilt();
    return runVitest('e2e');
  },
};

/** Stages that make no sense once another has failed. */
const REQUIRED = new Map([
  ['packages', 'build'],
  ['unit', 'build'],
  ['extension', 'build'],
  ['e2e', 'build'],
]);

/** Packaging builds what users get, which the other stages run too. */
const BUILDS = [script('package.mjs'), script('build.mjs', '--only-tests')];

/**
 * Stages that run in parallel after the build. An editor leaves two cores half idle: unit tests use
 * the rest, at a lower priority.
 */
const LANES = [
  ['extension', 'e2e'],
  ['packages', 'unit'],
];

/** Stages that need no build output run during the build, which leaves a core half idle. */
const EARLY = ['typecheck', 'format', 'lint', 'knip', 'generated'];

/** The stages that ran, and whether they passed. */
const ran = new Map();

/**
 * Output of the stages that fail as a whole, printed again at the end, so that it isn't scrolled
 * away. @type {string[]}
 */
const complaints = [];

/**
 * Builds before stages that are run alone.
 * @type {Promise<void> | undefined}
 */
let built;
async function ensureBuilt() {
  if (ran.has('build')) return;
  built ??= eachOrThrow(BUILDS);
  await built;
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
 * A check that passes or fails as a whole; its output is shown if it fails.
 * @param {string[][]} commands
 * @param {Readonly<Record<string, string>>} [environment] added to this process's
 * @returns {Promise<Counts>}
 */
async function checks(commands, environment) {
  try {
    await eachOrThrow(commands, environment);
    return { passed: 1, failed: 0, skipped: 0 };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    say(text);
    complaints.push(text);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

/**
 * @param {string[][]} commands
 * @param {Readonly<Record<string, string>>} [environment] added to this process's
 */
async function eachOrThrow(commands, environment) {
  for (const command of commands) {
    const { code, output } = await capture(process.execPath, command, {
      ...{ cwd: root, quiet: true, background: true },
      env: { ...process.env, ...environment },
    });
    if (code !== 0) throw new Error(output.trim() || `${command.join(' ')} ended with ${code}`);
  }
}

/** @param {string} name */
async function runStage(name) {
  const required = REQUIRED.get(name);
  if (required !== undefined && ran.get(required) === false) {
    throw new Error(`not run, since ${required} failed`);
  }
  return /** @type {() => Promise<Counts>} */ (STAGES[name])();
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
 * Runs stages one after the other.
 * @param {string[]} stages
 */
async function runLane(stages) {
  for (const name of stages) await runAndTell(name);
}

endWithParent();
// A GPU in software takes seconds of the processor per trial: only the tests of devices and of WebGPU use it.
process.env['VK_LOADER_DRIVERS_DISABLE'] = '*';
// There, compiling its shaders takes longer than the tests run them.
process.env['GALLIVM_PERF'] = 'nopt';
process.env['TMPDIR'] = scratchRoot();
const isAll = process.argv.includes('--all');
if (isAll) process.env['ESPALIER_TESTS'] = 'all';
const asked = process.argv.slice(2).filter((argument) => argument !== '--all');
const names = asked.length > 0 ? asked : Object.keys(STAGES);
const unknown = names.filter((name) => !Object.hasOwn(STAGES, name));
if (unknown.length > 0) {
  say(red(`There is no stage ${unknown.join(', ')}; there are ${Object.keys(STAGES).join(', ')}.`));
  process.exit(1);
}
const total = { passed: 0, failed: 0, skipped: 0 };
const begin = Date.now();
await ensureDependencies();
/** @param {string[]} stages */
const runAsked = (stages) => runLane(stages.filter((name) => names.includes(name)));
const early = runAsked(EARLY);
// Before the tests, as installing takes as long as the network does; they say so where there is none.
const server = names.includes('unit') ? ensureValkey().catch(() => undefined) : undefined;
await Promise.all([runAsked(['build']), server]);
await Promise.all([early, ...LANES.map(runAsked)]);
const failed = [...ran].filter(([, passed]) => !passed).map(([name]) => name);
if (failed.length > 0) say(red([`Failed: ${failed.join(', ')}`, ...complaints].join('\n')));
say(dim(`All of it took ${duration(Date.now() - begin)}`));
say(summary(total));
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

/** @param {Counts} counts */
function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
