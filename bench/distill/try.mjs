import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { espalier } from '../lib/espalier.mjs';
const [model, out, mix, sequences, length, settings] = process.argv.slice(2);
const here = fileURLToPath(new URL('.', import.meta.url));
const program = join(resolve(out), '..', `core-${process.pid}.cjs`);
await bundleCore(join(here, 'core.ts'), program);
const core = createRequire(import.meta.url)(program);
const distillation = settings === undefined || settings === 'none' ? undefined : JSON.parse(settings);
const t = process.cpuUsage();
await core.write(model, {
  out, types: { mix },
  feedback: {
    request: { sequences: Number(sequences), length: Number(length), upTo: true, ...(process.env.TEXT ? { file: process.env.TEXT } : {}) },
    bundledText: join(root, 'samples', 'calibration.txt'),
    ...(distillation ? { distillation } : {}),
  },
});
const u = process.cpuUsage(t);
const file = join(out, readdirSync(out).find((n) => n.endsWith('.gguf')));
const found = await espalier(['evaluate', file, '--against', model, '--text', process.env.HELD ?? join(root, 'samples', 'held-out.txt'), ...(process.env.WHOLE ? ['--whole-text'] : [])]);
const { klDivergence: k } = found;
console.log(mix, sequences, length, settings, `KL ${k.value.toPrecision(4)} (${k.low.toPrecision(3)} to ${k.high.toPrecision(3)}) top ${found.agreement.value.toFixed(3)} tokens ${found.tokens} cpu ${((u.user + u.system) / 1e6).toFixed(0)} s`);
