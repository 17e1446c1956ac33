// Feeds changed files to the parsers of models, documents, data sets, pictures and messages:
// node scripts/fuzz.mjs [--inputs 100000] [--seconds S] [--seed 1] [--parser NAME …] [--input FILE]
// Reported is what throws anything but a UserError, or one that does not name the file, takes more than 2 s of computing or more than
// 64 MB and twice the file, hangs or ends the process. The files are kept in test/artifacts/fuzz; --input tries such a file again.
import { fork } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { bundleCore } from './lib/bundle.mjs';
import { root } from './lib/repository.mjs';
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
/** Long, as others may use the machine. */
const hangSeconds = 60;

/**
 * Runs one parser's process to its end.
 * @param {string} format
 * @param {string} extension of its files
 * @returns {Promise<number>} how many findings there were
 */
async function fuzz(format, extension) {
  const work = join(folder, format);
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
      execArgv: ['--expose-gc', '--max-old-space-size=1024', '--enable-source-maps'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    },
  );
  let last = -1;
  let isHung = false;
  let since = Date.now();
  /** @type {Map<string, {input: number, count: number}>} */
  const findings = new Map();
  /** @param {string} text @param {number} input */
  const report = (text, input) => {
    const known = findings.get(text);
    findings.set(text, { input: known?.input ?? input, count: (known?.count ?? 0) + 1 });
  };
  child.on('message', (/** @type {{input: number, finding?: string}} */ { input, finding }) => {
    if (finding !== undefined) report(finding, input);
    last = input;
    since = Date.now();
  });
  const keep = () => {
    mkdirSync(dirname(join(work, `finding-${last}${extension}`)), { recursive: true });
    copyFileSync(join(work, `input${extension}`), join(work, `finding-${last}${extension}`));
  };
  const watch = setInterval(() => {
    if (Date.now() - since < hangSeconds * 1000) return;
    report(`It took more than ${hangSeconds} s, and the process was killed.`, last);
    keep();
    isHung = true;
    child.kill('SIGKILL');
  }, 1000);
  /** @type {number | string | null} */
  const ending = await new Promise((done) =>
    child.once('exit', (code, signal) => done(code ?? signal)),
  );
  clearInterval(watch);
  if (ending !== 0 && !isHung) {
    report(`The process ended with ${ending}.`, last);
    keep();
  }
  say(bold(`${format}: ${last + 1} files, ${findings.size} findings`));
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
// Data sets look for it beside their own bundle.
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
