import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { deviceNames } from '../../../extension/core/runtime/device';
import type { DeviceName } from '../../../extension/core/runtime/device';
import { DeviceFinder } from '../../../extension/core/runtime/devices';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { negativeLogLikelihood } from '../../../extension/core/runtime/next-token';
import { sumOverTokens } from '../../../extension/core/runtime/token-sums';
import { fixture, readJson, relativeError } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { buildProbe } from './probe-script';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
// `npm test` hides a GPU in software from all other tests.
delete process.env['VK_LOADER_DRIVERS_DISABLE'];
let probe = '';

beforeAll(async () => {
  probe = await buildProbe();
});

/** A probe that runs `code` instead of trying a device. */
function fakeProbe(name: string, code: string): string {
  const script = join(folder, `${name}.cjs`);
  writeFileSync(script, code);
  return script;
}

function finder(script: string, timeLimitMilliseconds = 270_000): DeviceFinder {
  return new DeviceFinder({ script, timeLimitMilliseconds, mayHaveGpu: () => true });
}

async function fallBack(devices: DeviceFinder, device: DeviceName): Promise<string> {
  const warnings: string[] = [];
  expect(await devices.resolve(device, (message) => warnings.push(inEnglish(message)))).toBe('cpu');
  expect(warnings).toHaveLength(1);
  return warnings[0] ?? '';
}

let machineDevices: DeviceFinder | undefined;
/** All devices, tried once for all tests. A software GPU is slow on a busy machine. */
function machine(): DeviceFinder {
  machineDevices ??= finder(probe);
  return machineDevices;
}

describe('devices', () => {
  it('are all listed, the CPU works, and the fastest is preferred', async () => {
    const devices = machine();
    const reports = await devices.list();
    expect(reports.map(({ name }) => name)).toEqual(deviceNames);
    expect(reports.find(({ name }) => name === 'cpu')).toMatchObject({ built: true, works: true });
    for (const { works, built, detail } of reports) {
      expect(detail).toMatch(/\.$/);
      expect(works && !built).toBe(false);
    }
    const working = reports.filter(({ works }) => works);
    const fastest = Math.min(...working.map(({ milliseconds }) => milliseconds ?? Number.NaN));
    const preferred = reports.filter((report) => report.preferred);
    expect(preferred.map(({ milliseconds }) => milliseconds)).toEqual([fastest]);
    expect(await devices.resolve('auto', () => undefined)).toBe(preferred[0]?.name);
  });

  it('fall back to the CPU with the reason when they are not built in', async () => {
    const missing = process.platform === 'win32' ? 'coreml' : 'dml';
    expect(await fallBack(finder(probe), missing)).toMatch(
      /^The device \w+ can't be used; the CPU is used instead\. ONNX Runtime for \S+ does not contain it\.$/,
    );
  });

  it('need no probe and no warning for the CPU', async () => {
    expect(await finder('no such script').resolve('cpu', () => expect.unreachable())).toBe('cpu');
  });

  it('need no probe for auto on a machine without a GPU', async () => {
    const script = fakeProbe('fast', 'process.send({ failure: "tried" })');
    const options = { script, timeLimitMilliseconds: 270_000 };
    const none = new DeviceFinder({ ...options, mayHaveGpu: () => false });
    expect(await none.resolve('auto', () => expect.unreachable())).toBe('cpu');
    expect(await fallBack(none, 'webgpu')).toContain('tried');
  });

  it.each([
    ['crash', "process.kill(process.pid, 'SIGSEGV')", /ended with SIGSEGV/],
    ['abort', "console.error('driver: lost'); process.exit(3)", /exit code 3: driver: lost\./],
    ['hang', 'for (;;);', /did not answer within 0\.5 s/],
    [
      'refuse',
      "process.send({ failure: '/src/x.cc:136 Init() ok was false. Failed to get an adapter: none\\n' })",
      /instead\. Failed to get an adapter: none\./,
    ],
    [
      'lie',
      'process.send({ trial: { output: new Array(2048).fill(0), milliseconds: 1 } })',
      /numbers differ from the CPU's by 1\.0e\+0/,
    ],
    [
      'silence',
      'process.send({ trial: { output: [], milliseconds: 1 } })',
      /numbers differ from the CPU's by NaN/,
    ],
  ])('that %s fall back to the CPU with the reason', async (name, code, reason) => {
    const devices = finder(fakeProbe(name, code), name === 'hang' ? 500 : undefined);
    expect(await fallBack(devices, 'webgpu')).toMatch(reason);
    const [, , , , report] = await devices.list();
    expect(report).toMatchObject({ name: 'webgpu', works: false, preferred: false });
  });

  it('that cannot be probed fall back to the CPU with the reason', async () => {
    expect(await fallBack(finder(join(folder, 'nowhere.js')), 'webgpu')).toMatch(
      /Cannot find module/,
    );
  });

  it('are probed once', async () => {
    const log = join(folder, 'probes.txt');
    writeFileSync(log, '');
    const code = `require('node:fs').appendFileSync(${JSON.stringify(log)}, 'x'); process.send({ failure: 'No.' })`;
    const devices = finder(fakeProbe('counted', code));
    await Promise.all([fallBack(devices, 'webgpu'), fallBack(devices, 'webgpu')]);
    await fallBack(devices, 'webgpu');
    expect(readFileSync(log, 'utf8')).toBe('x');
  });
});

describe('WebGPU', () => {
  it("returns the CPU's logits on a Vulkan device", async (context) => {
    const reports = await machine().list();
    const [gpu, cpu] = ['webgpu', 'cpu'].map((name) => reports.find((one) => one.name === name));
    // One that computes something else is not missing.
    expect(gpu?.detail).not.toMatch(/numbers differ/);
    if (gpu?.works !== true) {
      process.stderr.write(`WebGPU is not tested here: ${gpu?.detail}\n`);
      context.skip(gpu?.detail);
      return;
    }
    process.stderr.write(
      `WebGPU: ${gpu.milliseconds?.toFixed(0)} ms for the trial, CPU: ${cpu?.milliseconds?.toFixed(0)} ms\n`,
    );
    for (const name of ['llama-gqa-untied', 'llama-bf16', 'phi3', 'qwen3', 'mistral-sliding']) {
      const expected = await compute(name, 'cpu');
      const actual = await compute(name, 'webgpu');
      expect(relativeError(actual.logits, expected.logits), name).toBeLessThan(1e-3);
      expect(Math.abs(actual.loss / expected.loss - 1), name).toBeLessThan(1e-3);
    }
  });
});

/** Logits of a fixture's first golden sequence, and its loss. */
async function compute(
  name: string,
  device: DeviceName,
): Promise<{ logits: Float32Array; loss: number }> {
  const { inputIds } = readJson<{ inputIds: number[][] }>(name, 'golden.json');
  const ids = Int32Array.from(inputIds[0] ?? []);
  const executor = new LayeredExecutor(await openModel(fixture(name)), device, 1 << 30);
  try {
    let state = await executor.embed(ids);
    for (const index of executor.model.summary.sublayers.keys()) {
      [state = state] = await executor.run(index, [state]);
    }
    const terms = [negativeLogLikelihood];
    const [loss = NaN] = await sumOverTokens(executor, ids.subarray(1), state, terms);
    return { logits: await executor.logits(state), loss };
  } finally {
    await executor.dispose();
  }
}
