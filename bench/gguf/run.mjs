/**
 * Writes a model as GGUF files of several types, loads each with llama.cpp, and compares its logits with ours on 128 tokens
 * of the bundled held-out text. A type can name its rounding, such as Q4_0:feedback. The files stay in OUT. Run
 * `npm run build` and `espalier install-llama --yes` first.
 *
 *     node bench/gguf/run.mjs MODEL OUT [TYPE[:ROUNDING] ...]
 */
import { copyFile, mkdir, readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { describeSource } from '../lib/source-types.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const text = join(root, 'samples', 'held-out.txt');
const [model = '', out = '', ...cases] = process.argv.slice(2);

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await mkdir(resolve(out), { recursive: true });
  const program = join(resolve(out), 'core.cjs');
  await bundleCore(join(here, 'core.ts'), program);
  await copyFile(join(root, 'dist', 'llama.js'), join(resolve(out), 'llama.js'));
  const core = createRequire(import.meta.url)(program);
  say(`llama.cpp ${await core.release()}, CPU\n\n${await describeSource(model)}\n`);
  say(
    '| type | bytes | max. difference | KL to ours | same top token | same tokens of the text |\n' +
      '|---|--:|--:|--:|--:|--:|',
  );
  const isFile = model.endsWith('.gguf');
  for (const one of isFile ? ['original', ...cases] : ['as stored', ...cases]) {
    const [type = '', rounding] = one.split(':');
    const file = one === 'original' ? model : await write(type, rounding);
    const { size } = await stat(file);
    const { error, klDivergence, sameTop, positions, sameTokens } = await core.compareWithLlama(
      file,
      text,
    );
    say(
      `| ${one.replace(':', ', ')} | ${size} | ${error.toExponential(1)} | ${klDivergence.toExponential(1)} | ${sameTop} of ${positions} | ${sameTokens ? 'yes' : 'no'} |`,
    );
  }
  return 0;
}

/**
 * Writes a GGUF file with a type, or as stored.
 * @param {string} type
 * @param {string | undefined} rounding
 */
async function write(type, rounding) {
  const folder = join(resolve(out), [type.replace(' ', '-'), rounding].filter(Boolean).join('-'));
  await espalier([
    ...['convert', model, '--format', 'gguf', '--out', folder, '--overwrite', '--no-quality'],
    ...(type === 'as stored' ? [] : ['--type', type]),
    ...(rounding === undefined ? [] : ['--rounding', rounding]),
  ]);
  const name = (await readdir(folder)).find((entry) => entry.endsWith('.gguf')) ?? '';
  return join(folder, name);
}
