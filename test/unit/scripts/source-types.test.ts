import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fixture } from '../fixtures';
import { spawnCli } from '../cli/run-cli';
import { temporaryFolder } from '../temporary-folder';

type DescribeSource = (model: string) => Promise<string>;

const root = join(import.meta.dirname, '../../..');
const sample = join(root, 'samples/espalier-sample');
const { describeSource } = (await import(join(root, 'bench/lib/source-types.mjs'))) as {
  describeSource: DescribeSource;
};

it('finds no grid in the sample, which was trained in floats', async () => {
  expect(await describeSource(sample)).toBe('Source weights: stored as F16, not quantized before.');
});

it('names the types of a quantized file', async () => {
  const out = join(temporaryFolder(), 'model');
  const given = ['convert', fixture('llama-gqa-untied'), '--format', 'gguf', '--type', 'Q8_0'];
  expect(await spawnCli([...given, '--out', out])).toMatchObject({ code: 0 });
  expect(await describeSource(out)).toMatch(
    /^Source weights: stored as .*Q8_0.*: already quantized, so/,
  );
});
