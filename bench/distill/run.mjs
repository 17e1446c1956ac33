/**
 * Training of quantization blocks against error feedback alone, with the same type, bytes, and calibration text: the KL
 * divergence from the original on the bundled held-out text with 95 % intervals, top-1 agreement, and seconds of processor
 * time. Prints a Markdown table, row by row.
 *
 *     node bench/distill/run.mjs MODEL FOLDER [--types Q2_K,Q3_K_M] [--rates 0.03] [--epochs 4]
 *         [--sequences 128] [--length 256] [--text FILE]
 *
 * --rates: learning rates, in units of the distance between two integers of a scale; codes change half as fast.
 * --text: calibration text; the bundled one by default.
 */
import { readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { describeSource } from '../lib/source-types.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    types: { type: 'string', default: 'Q2_K,Q3_K_M' },
    rates: { type: 'string', default: '0.03' },
    epochs: { type: 'string', default: '4' },
    sequences: { type: 'string', default: '128' },
    length: { type: 'string', default: '256' },
    text: { type: 'string' },
  },
});
const [model = '', folder = ''] = positionals.map((path) => resolve(path));
const request = {
  ...{ sequences: Number(options.sequences), length: Number(options.length), upTo: true },
  ...(options.text === undefined ? {} : { file: resolve(options.text) }),
};

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await mkdir(folder, { recursive: true });
  const program = join(folder, 'core.cjs');
  await bundleCore(join(fileURLToPath(new URL('.', import.meta.url)), 'core.ts'), program);
  const core = createRequire(import.meta.url)(program);
  say(await describeSource(model));
  say('\n| type | rate | KL | top-1 agreement | seconds |\n|---|---|---|--:|--:|');
  const rates = options.rates.split(',').map(Number);
  for (const mix of options.types.split(',')) {
    for (const rate of [undefined, ...rates]) {
      const out = join(folder, `${mix}-${rate ?? 'feedback'}`);
      const epochs = Number(options.epochs);
      const settings = { epochs, batch: 4, rate, patience: epochs };
      const distillation = rate === undefined ? {} : { distillation: settings };
      const before = process.cpuUsage();
      await core.write(model, {
        ...{ out, types: { mix } },
        feedback: {
          ...{ request, bundledText: join(root, 'samples', 'calibration.txt') },
          ...distillation,
        },
      });
      const { user, system } = process.cpuUsage(before);
      const name = readdirSync(out).find((entry) => entry.endsWith('.gguf')) ?? '';
      const text = join(root, 'samples', 'held-out.txt');
      const found = await espalier([
        ...['evaluate', join(out, name), '--against', model, '--text', text],
      ]);
      const { value, low, high } = found.klDivergence;
      const [kl, least, most] = [value, low, high].map((number) => number.toPrecision(3));
      say(
        `| ${mix} | ${rate ?? 'not trained'} | ${kl} (${least} to ${most}) | ${(100 * found.agreement.value).toFixed(1)} % | ${((user + system) / 1e6).toFixed(0)} |`,
      );
    }
  }
  return 0;
}
