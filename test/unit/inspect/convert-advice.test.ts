import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { floatReaders } from '../../../extension/core/checkpoints/read-tensor';
import { quantizeRows, roundRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { runCli } from '../cli/run-cli';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const sample = join(process.cwd(), 'samples/espalier-sample');

/** The sample model in float16, dequantized from Q4_1. */
async function dequantizedSample(): Promise<string> {
  const model = join(folder, 'dequantized');
  cpSync(sample, model, { recursive: true });
  const weights = join(model, 'model.safetensors');
  const { tensors } = await openSafetensors(weights);
  const bytes = readFileSync(weights);
  for (const { dtype, shape, offset, length } of tensors.values()) {
    const columns = shape.at(-1) ?? 1;
    if (shape.length === 2 && columns % 32 === 0) {
      const stored = new Uint8Array(bytes.subarray(offset, offset + length)).buffer;
      const floats = floatReaders[dtype]?.(stored) ?? expect.fail(dtype);
      bytes.set(quantizeRows('F16', roundRows('Q4_1', floats, columns), columns), offset);
    }
  }
  writeFileSync(weights, bytes);
  return model;
}

const model = await dequantizedSample();
const found =
  'The weights were quantized before: their values are those of Q4_1. ' +
  'Q4_1 stores them without loss; most other types add rounding errors.';
let results = 0;
const convert = async (...more: readonly string[]): ReturnType<typeof runCli> => {
  const out = join(folder, `result-${++results}`);
  return runCli(['convert', model, '--format', 'gguf', '--no-quality', '--out', out, ...more]);
};

it('inspect recognizes quantized weights and names the lossless type', async () => {
  expect((await runCli(['inspect', model])).stdout).toContain(found);
  const { grid } = JSON.parse((await runCli(['inspect', model, '--json'])).stdout) as {
    readonly grid: unknown;
  };
  expect(grid).toMatchObject({ type: 'Q4_1', isStored: false, lossless: ['Q4_1'] });
  expect((await runCli(['inspect', sample])).stdout).not.toContain('quantized');
});

it('convert suggests the type that keeps the weights', async () => {
  const { code, stderr } = await convert();
  expect(code).toBe(0);
  expect(stderr).toContain(`${found} Choose --type Q4_1.`);
});

it('convert warns about a type that rounds the weights again, and no other', async () => {
  expect((await convert('--type', 'Q4_0')).stderr.replaceAll('\u00a0', ' ')).toMatch(
    /those of Q4_1\. .* Q4_0 adds an error of \d+(\.\d)? %\. Choose --type Q4_1\./,
  );
  expect((await convert('--type', 'Q4_1')).stderr).not.toContain('quantized before');
  expect((await convert('--type', 'F32')).stderr).not.toContain('quantized before');
});
