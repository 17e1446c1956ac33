/**
 * Predicted size and decode speed of a model in twelve mixes against its files and llama.cpp. The goal is a difference of
 * at most 10 %. Needs a quiet machine and llama.cpp (`espalier install-llama`); writes RESULTS.md only on a quiet machine.
 *
 *     node bench/decode/run.mjs MODEL FOLDER [--mixes Q8_0,Q4_K_M]
 */
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { Machine } from '../lib/machine.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const twelve = 'F16,Q8_0,Q6_K,Q5_K_M,Q5_0,Q4_K_M,Q4_K_S,Q4_0,IQ4_NL,IQ4_XS,Q3_K_M,Q2_K';
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { mixes: { type: 'string', default: twelve } },
});
const [model = '', folder = ''] = positionals.map((path) => resolve(path));

await mkdir(folder, { recursive: true });
const program = join(folder, 'core.cjs');
await bundleCore(join(here, 'core.ts'), program);
const core = createRequire(import.meta.url)(program);
const machine = await Machine.watch();
const lines = [];
for (const mix of options.mixes.split(',')) {
  const found = await core.timeMix(model, mix, join(folder, mix));
  const { predictedBytes, bytes, predicted, measured } = found;
  lines.push(
    `| ${mix} | ${predictedBytes} | ${bytes} | ${percent(predictedBytes / bytes)} | ${predicted.toFixed(1)} | ${measured.toFixed(1)} | ${percent(predicted / measured)} |`,
  );
  say(dim(lines.at(-1) ?? ''));
}
await machine.publish(
  join(here, 'RESULTS.md'),
  [
    '# Predicted and measured decode speed',
    '',
    `${await machine.describe()} Model: ${model.split('/').at(-1)}. Speeds in tokens/s.`,
    '',
    '| mix | bytes, predicted | bytes | difference | speed, predicted | speed, measured | difference |',
    '|---|--:|--:|--:|--:|--:|--:|',
    ...lines,
  ].join('\n'),
);

/** @param {number} ratio */
function percent(ratio) {
  return `${(100 * (ratio - 1)).toFixed(1)} %`;
}
