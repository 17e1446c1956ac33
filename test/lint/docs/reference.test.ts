import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeGgufLayout } from '../../../extension/core/export/gguf/gguf-options';
import { layoutNames } from '../../../extension/core/export/hugging-face/layouts';
import { knownInGguf } from '../../../extension/core/models/gguf/encoders/encoder-names';
import { ggufFamilies } from '../../../extension/core/models/gguf/gguf-families';
import { quantizationMethods } from '../../../extension/core/models/quantized/quantization';
import { rotaryScalings } from '../../../extension/core/models/parts/rotary';

const read = async (name: string): Promise<string> =>
  readFile(join(import.meta.dirname, '../../../docs/reference', name), 'utf8');

it('lists the capabilities of models', async () => {
  const models = await read('models.md');
  const names = [ggufFamilies, quantizationMethods, rotaryScalings].flatMap(Object.keys);
  expect(names.filter((name) => !models.includes(`\`${name}\``))).toEqual([]);
});

it('the README counts the architectures of GGUF files in the reference', async () => {
  const readme = await readFile(join(import.meta.dirname, '../../../README.md'), 'utf8');
  const [, table = ''] = (await read('models.md')).split('\n### GGUF files\n');
  const rows = table.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBe(Object.keys(ggufFamilies).length);
  expect(readme).toContain(`\`.gguf\` files of ${rows.length} architectures`);
});

it('GGUF families are families of Hugging Face folders too', () => {
  const unknown = Object.values(ggufFamilies).filter((family) => knownInGguf(family) === undefined);
  expect(unknown).toEqual([]);
});

it('lists every layout', async () => {
  const layouts = await read('layouts.md');
  expect(layoutNames.filter((name) => !layouts.includes(`### ${name}\n`))).toEqual([]);
  for (const what of Object.values(describeGgufLayout)) {
    expect(layouts.replaceAll(/\s+/g, ' ')).toContain(what);
  }
});
