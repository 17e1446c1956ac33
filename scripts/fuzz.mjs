// Feeds changed files to the parsers of models, plans, data sets and pictures: node scripts/fuzz.mjs [--seconds 120] [--seed 1] [FORMAT ...] [--input FILE]
// Reported is what throws anything but a UserError, or one that does not name the file, takes more than 2 s of computing or 512 MB, hangs or
// ends the process. The files are kept in test/artifacts/fuzz; --input tries such a file again.
import { build } from 'esbuild';
import { fork } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from './lib/repository.mjs';
import { bold, green, red, say } from './lib/terminal.mjs';

const extensions = {
  ...{ safetensors: '.safetensors', gguf: '.gguf', onnx: '.onnx' },
  ...{ config: '/config.json', tokenizer: '/tokenizer.json', plan: '.plan.json' },
  ...{ task: '.jsonl', csv: '.csv', npy: '.npy', npz: '.npz', png: '.png', jpeg: '.jpg' },
};
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '120' },
    seed: { type: 'string', default: '1' },
    input: { type: 'string', multiple: true, default: [] },
  },
});
const folder = join(root, 'test', 'artifacts', 'fuzz');
const bundle = join(folder, 'fuzz.cjs');
const hangSeconds = 60;

/**
 * Runs one parser's process to its end.
 * @param {keyof typeof extensions} format
 * @returns {Promise<number>} how many findings there were
 */
async function fuzz(format) {
  const work = join(folder, format);
  mkdirSync(work, { recursive: true });
  const inputs = values.input.map((file) => resolve(file));
  const child = fork(
    bundle,
    [format, values.seconds, values.seed, work, join(root, 'test', 'fixtures'), ...inputs],
    {
      execArgv: ['--max-old-space-size=1024', '--enable-source-maps'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    },
  );
  let last = -1;
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
    mkdirSync(dirname(join(work, `finding-${last}${extensions[format]}`)), { recursive: true });
    copyFileSync(
      join(work, `input${extensions[format]}`),
      join(work, `finding-${last}${extensions[format]}`),
    );
  };
  const watch = setInterval(() => {
    if (Date.now() - since < hangSeconds * 1000) return;
    report(`It took more than ${hangSeconds} s, and the process was killed.`, last);
    keep();
    child.kill('SIGKILL');
  }, 1000);
  const code = await new Promise((done) => child.once('exit', (exit) => done(exit)));
  clearInterval(watch);
  if (code !== 0 && code !== null) {
    report(`The process ended with code ${code}.`, last);
    keep();
  }
  say(bold(`${format}: ${last + 1} files, ${findings.size} findings`));
  for (const [text, { input, count }] of findings) {
    say(red(`  finding-${input}${extensions[format]} (${count} times)`));
    say(`  ${text.split('\n').slice(0, 4).join('\n  ')}`);
  }
  return findings.size;
}

// A file that is tried again may lie there.
if (values.input.length === 0) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await build({
  entryPoints: [join(root, 'test', 'fuzz', 'fuzz.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  mainFields: ['module', 'main'],
  external: ['onnxruntime-node'],
  sourcemap: 'inline',
  logLevel: 'error',
});
let found = 0;
for (const format of positionals.length > 0 ? positionals : Object.keys(extensions)) {
  if (!(format in extensions)) throw new Error(`${format} is none of ${Object.keys(extensions)}`);
  found += await fuzz(/** @type {keyof typeof extensions} */ (format));
}
if (found === 0) say(green('Nothing found'));
process.exitCode = found > 0 ? 1 : 0;
