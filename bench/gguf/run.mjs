/**
 * Writes a model as GGUF files of several types, loads each with llama.cpp, and compares its logits and its tokens with ours.
 * node-llama-cpp (prebuilt llama.cpp, from npm) is looked for in TOOLS/node_modules. The files stay in OUT.
 * Run `npm run build` first.
 *
 *     node bench/gguf/run.mjs TOOLS MODEL OUT [--imatrix FILE.gguf] [TYPE ...]
 */
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { describeSource } from '../lib/source-types.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const text = 'The quick brown fox jumps over 12 lazy dogs, and the river runs to the sea.';

const { values, positionals } = parseArgs({
  options: { imatrix: { type: 'string' } },
  allowPositionals: true,
});
const [tools = '', model = '', out = '', ...types] = positionals;
const program = join(resolve(out), 'core.cjs');
await bundleCore(join(here, 'core.ts'), program);
const core = createRequire(import.meta.url)(program);
const entry = join(resolve(tools), 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const { version } = createRequire(entry)('../package.json');
process.stdout.write(
  `llama.cpp of node-llama-cpp ${version}, CPU, key/value cache float32\n\n` +
    `${await describeSource(model)}\n\n` +
    '| type | bytes | processor s to write and check | error to the source | llama.cpp to us | top token |\n| --- | --- | --- | --- | --- | --- |\n',
);
for (const type of ['as stored', ...types]) {
  const folder = join(resolve(out), type.replace(' ', '-'));
  const before = process.cpuUsage();
  const result = await core.write(
    model,
    folder,
    type === 'as stored' ? undefined : type,
    values.imatrix,
  );
  const { user, system } = process.cpuUsage(before);
  const file = join(folder, result.files[0].name);
  const { ids, logits } = await readWith(llama, file);
  const ours = await core.lastLogits(file, ids);
  const { error, same } = compare(ours, logits);
  process.stdout.write(
    `| ${type} | ${result.bytesAfter} | ${((user + system) / 1e6).toFixed(1)} | ${result.verification.relativeError.toExponential(1)} | ${error.toExponential(1)} | ${same ? 'same' : 'another'} |\n`,
  );
}
await llama.dispose();

/**
 * @param {any} llama
 * @param {string} modelPath
 */
async function readWith(llama, modelPath) {
  const loaded = await llama.loadModel({ modelPath, useMmap: true });
  const context = await loaded.createContext({
    contextSize: 64,
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  });
  const ids = [...loaded.tokenize(text)];
  const asked = ids.map((id, i) =>
    i === ids.length - 1 ? [id, { generateNext: { logits: true } }] : id,
  );
  const results = await context.getSequence().controlledEvaluate(asked);
  const logits = new Map(results.at(-1)?.next?.logits);
  await context.dispose();
  await loaded.dispose();
  return { ids, logits };
}

/**
 * max |a − b| / max |a|, and whether both choose the same token.
 * @param {Float32Array} ours
 * @param {Map<number, number>} theirs
 */
function compare(ours, theirs) {
  let difference = 0;
  let largest = 0;
  for (const [id, value] of ours.entries()) {
    difference = Math.max(difference, Math.abs(value - (theirs.get(id) ?? Number.NaN)));
    largest = Math.max(largest, Math.abs(value));
  }
  const best = ours.indexOf(ours.reduce((a, b) => Math.max(a, b)));
  const [[top] = []] = [...theirs].sort(([, a], [, b]) => b - a);
  return { error: difference / largest, same: top === best };
}
