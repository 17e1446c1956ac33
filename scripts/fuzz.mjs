// Feeds changed files to the parsers of models, documents, data sets, pictures and messages:
// node scripts/fuzz.mjs [--inputs 100000] [--seconds S] [--seed 1] [--parser NAME …] [--input FILE]
// Reported is what throws anything but a UserError, or one that does not name the file, takes more than 2 s of computing or more than
// 64 MB and twice the file, hangs or ends the process. Before them come bombs: large, packed and deep files of test/fuzz/bombs.ts;
// --inputs 0 gives these alone. The files are kept in test/artifacts/fuzz; --input tries such a file again.
import { fork } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { bundleCore } from './lib/bundle.mjs';
import { endWithParent } from './lib/processes.mjs';
import { root } from './lib/repository.mjs';
import { scratchRoot } from './lib/scratch.mjs';
import { bold, green, red, say } from './lib/terminal.mjs';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: 'Infinity' },
    parser: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: '1' },
    input: { type: 'string', multiple: true, default: [] },
  },
});
const folder = join(root, 'test', 'artifacts', 'fuzz');
const bundle = join(folder, 'fuzz.cjs');
const list = join(folder, 'formats.cjs');
// At Ctrl+C and the like, too, the folder below goes.
endWithParent();
const scratch = mkdtempSync(join(scratchRoot(1e9), 'espalier-fuzz-'));
/** Long, as others may use the machine. */
const hangSeconds = 60;
/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
process.once('exit', () => {
  // It would go on writing, and a folder that is not empty cannot be removed.
  running?.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

/**
 * Runs one parser's process to its end.
 * @param {string} format
 * @param {string} extension of its files
 * @returns {Promise<number>} how many findings there were
 */
async function fuzz(format, extension) {
  const work = join(scratch, format);
  mkdirSync(work, { recursive: true });
  const inputs = values.input.map((file) => resolve(file));
  const child = fork(
    bundle,
    [
      format,
      values.inputs,
      values.seconds,
      values.seed,
      work,
      join(root, 'test', 'fixtures'),
      ...inputs,
    ],
    {
      // Source maps cost time for each error that is caught: only where one is looked into.
      execArgv: [
        ...['--expose-gc', '--max-old-space-size=1024'],
        ...(inputs.length > 0 ? ['--enable-source-maps'] : []),
      ],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    },
  );
  running = child;
  let last = 0;
  /** @type {string | undefined} */
  let bomb;
  let isDone = false;
  let isHung = false;
  const start = Date.now();
  let since = start;
  /** @type {Map<string, {input: number, count: number}>} */
  const findings = new Map();
  /** @param {string} text @param {number} input */
  const report = (text, input) => {
    const known = findings.get(text);
    findings.set(text, { input: known?.input ?? input, count: (known?.count ?? 0) + 1 });
  };
  child.on(
    'message',
    (/** @type {{input: number, bomb?: string, finding?: string, isDone?: boolean}} */ message) => {
      bomb = message.bomb;
      if (message.finding !== undefined) report(message.finding, message.input);
      last = message.input;
      isDone ||= message.isDone === true;
      since = Date.now();
    },
  );
  /**
   * Saves the input that ended the process, with the number after the last reported one, because it
   * may be a finding.
   */
  const keep = (/** @type {string} */ text) => {
    const savedFile = join(work, `finding-${last + 1}${extension}`);
    report(bomb === undefined ? text : `${bomb}: ${text}`, last + 1);
    mkdirSync(dirname(savedFile), { recursive: true });
    copyFileSync(join(work, `input${extension}`), savedFile);
  };
  const watch = setInterval(() => {
    if (Date.now() - since < hangSeconds * 1000) return;
    keep(`It took more than ${hangSeconds} s, and the process was killed.`);
    isHung = true;
    child.kill('SIGKILL');
  }, 1000);
  /** @type {number | string | null} */
  const ending = await new Promise((done) =>
    child.once('exit', (code, signal) => done(code ?? signal)),
  );
  clearInterval(watch);
  if (!isDone && !isHung) {
    keep(`The process ended with ${ending} before it was done.`);
  }
  const seconds = (Date.now() - start) / 1000;
  say(bold(`${format}: ${last} files in ${seconds.toFixed(0)} s, ${findings.size} findings`));
  // A file that is tried again is kept already, and may have the same name.
  if (findings.size > 0 && inputs.length === 0) {
    const savedFile = join(folder, format);
    cpSync(work, savedFile, {
      recursive: true,
      filter: (file) => !basename(file).startsWith('input'),
    });
  }
  rmSync(work, { recursive: true, force: true });
  for (const [text, { input, count }] of findings) {
    say(red(`  finding-${input}${extension} (${count} times)`));
    say(`  ${text.split('\n').slice(0, 4).join('\n  ')}`);
  }
  return findings.size;
}

// A file that is tried again may lie there.
if (values.input.length === 0) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await bundleCore(join(root, 'test', 'fuzz', 'fuzz.ts'), bundle);
await bundleCore(join(root, 'test', 'fuzz', 'formats.ts'), list);
// The dataset reader expects it next to its own bundle.
await bundleCore(
  join(root, 'extension', 'worker', 'parquet-check.ts'),
  join(folder, 'parquet-check.js'),
);
/** @type {typeof import('../test/fuzz/formats')} */
const { formats } = createRequire(import.meta.url)(list);
let found = 0;
for (const name of values.parser.length > 0 ? values.parser : Object.keys(formats)) {
  const format = formats[name];
  if (format === undefined) throw new Error(`${name} is none of ${Object.keys(formats)}`);
  found += await fuzz(name, format.extension);
}
if (found === 0) say(green('Nothing found'));
process.exitCode = found > 0 ? 1 : 0;
