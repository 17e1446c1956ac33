/**
 * Time and peak memory of writing a pruned model, against `cp` of the files that were written, both up to where the
 * bytes are on the disk (fsync). Needs about three times SIZE of space in the temporary folder (TMPDIR).
 *
 *     node bench/write/run.mjs [--quick] [--blocks 30] [--runs 3]
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeFolder, writeGgufFile } from './models.mjs';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    blocks: { type: 'string', default: '30' },
    runs: { type: 'string', default: '3' },
  },
});
const blocks = options.quick ? 3 : Number(options.blocks);
const runs = options.quick ? 1 : Number(options.runs);
const here = fileURLToPath(new URL('.', import.meta.url));
const middle = blocks >> 1;
const sublayer = `block.${middle}.attention`;
const block = `block.${middle}.attention,block.${middle}.feedforward`;

const folder = await mkdtemp(join(tmpdir(), 'espalier-write-'));
const machine = await Machine.watch();
/** @type {string[]} */
const rows = [];
try {
  const script = join(folder, 'write.cjs');
  await bundleCore(join(here, 'write.ts'), script);
  const sources = {
    one: join(folder, 'one'),
    graph: join(folder, 'graph'),
    shards: join(folder, 'shards'),
    gguf: join(folder, 'model.gguf'),
  };
  await writeFolder(sources.one, blocks, 1);
  await measure(script, 'safetensors, one file', sources.one, 'safetensors', sublayer);
  await measure(script, 'ONNX with external data', sources.one, 'onnx', sublayer);
  execFileSync(process.execPath, [
    script,
    sources.one,
    'onnx',
    sources.graph,
    'block.0.feedforward',
  ]);
  await rm(sources.one, { recursive: true });
  const graph = join(sources.graph, 'model.onnx');
  await measure(script, 'ONNX with external data, from such a graph', graph, 'onnx', sublayer);
  await rm(sources.graph, { recursive: true });
  await writeFolder(sources.shards, blocks, 4);
  await measure(
    script,
    'safetensors, 4 files, one of them changed',
    sources.shards,
    'safetensors',
    sublayer,
  );
  await measure(
    script,
    'safetensors, 4 files, blocks renumbered',
    sources.shards,
    'safetensors',
    block,
  );
  await rm(sources.shards, { recursive: true });
  await writeGgufFile(sources.gguf, blocks);
  await measure(script, 'GGUF', sources.gguf, 'gguf', sublayer);
} finally {
  await rm(folder, { recursive: true });
}
const table = [
  '| output | GB | seconds | `cp` | times `cp` | resident before, MB | at most, MB |',
  '| --- | --- | --- | --- | --- | --- | --- |',
  ...rows,
].join('\n');
const text = `# Writing against copying

\`node bench/write/run.mjs\`: a Llama-shaped model of ${blocks} blocks in float16, written without one sublayer or block; \`cp\` copies the files
that were written. Both end when the bytes are on the disk (fsync). Median of ${runs} runs, taken in turn; files are in the page cache as far as it holds them.

${await machine.describe()}

${table}
`;
await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);

/**
 * @param {string} script
 * @param {string} name
 * @param {string} source
 * @param {string} format
 * @param {string} removed
 */
async function measure(script, name, source, format, removed) {
  /** @type {{seconds: number, copied: number, bytes: number, startMegabytes: number, peakMegabytes: number}[]} */
  const results = [];
  for (let i = 0; i < runs; i++) {
    const out = join(folder, 'out');
    const printed = execFileSync(process.execPath, [script, source, format, out, removed]);
    const copy = join(folder, 'copy');
    const started = performance.now();
    execFileSync('cp', ['-r', out, copy]);
    execFileSync('sync', await listFiles(copy));
    const copied = (performance.now() - started) / 1000;
    results.push({ ...JSON.parse(printed.toString()), copied, bytes: await totalSize(out) });
    await rm(out, { recursive: true });
    await rm(copy, { recursive: true });
  }
  const median = (/** @type {(result: (typeof results)[0]) => number} */ of) =>
    results.map(of).sort((a, b) => a - b)[runs >> 1] ?? Number.NaN;
  const [seconds, copied] = [median((r) => r.seconds), median((r) => r.copied)];
  const most = Math.max(...results.map(({ peakMegabytes }) => peakMegabytes));
  rows.push(
    `| ${name} | ${(median((r) => r.bytes) / 1e9).toFixed(2)} | ${seconds.toFixed(2)} | ${copied.toFixed(2)} | ${(seconds / copied).toFixed(2)} | ${median((r) => r.startMegabytes).toFixed(0)} | ${most.toFixed(0)} |`,
  );
}

/** @param {string} path */
async function listFiles(path) {
  return (await readdir(path)).map((name) => join(path, name));
}

/** @param {string} path */
async function totalSize(path) {
  const files = await listFiles(path);
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
