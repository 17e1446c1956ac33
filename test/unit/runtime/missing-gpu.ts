import { probeDevice } from '../../../extension/core/runtime/device-probe';
import { buildProbe } from './probe-script';

let missing: Promise<string | undefined> | undefined;

/** Why WebGPU cannot be tested here, which is said as well; undefined where it can. Tried once for all tests of a file. */
export async function missingGpu(): Promise<string | undefined> {
  missing ??= tryGpu();
  return missing;
}

/** Just below the time limit of a test: a busy machine compiles shaders slowly, and must not skip these tests. */
const timeLimitMilliseconds = 270_000;

async function tryGpu(): Promise<string | undefined> {
  // `npm test` hides a GPU in software from all tests but those of WebGPU.
  delete process.env['VK_LOADER_DRIVERS_DISABLE'];
  const script = await buildProbe();
  const tried = await probeDevice('webgpu', { script, timeLimitMilliseconds });
  if (!('failure' in tried)) {
    return undefined;
  }
  process.stderr.write(`WebGPU is not tested here: ${tried.failure}\n`);
  return tried.failure;
}
