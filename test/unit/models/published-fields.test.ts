import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { llamaCppViolation } from '../export/llama-cpp-violation';
import { decoderIn } from '../config-source';
import { ggufFamilies } from '../../../extension/core/models/gguf/gguf-families';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { pruneWidthsIn } from '../pipelines/width-pruning';
import { computeLogits, readConfig } from '../export/pruning';
import { familyFixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const pruneWidths = pruneWidthsIn(folder);

it('MiMo-V2-Flash opens as published: no factor of experts, a window that does not count the token itself', async () => {
  const withFields = (name: string, fields: object): string => {
    const copy = join(folder, name);
    cpSync(familyFixture('mimo_v2_flash'), copy, { recursive: true });
    const config = { ...readConfig(copy), ...fields };
    writeFileSync(join(copy, 'config.json'), JSON.stringify(config));
    return copy;
  };
  const rows = [[3, 5, 8, 13, 21, 34, 4, 6]];
  const published = withFields('published', {
    routed_scaling_factor: null,
    sliding_window_size: 2,
  });
  const same = withFields('same', { routed_scaling_factor: 1, sliding_window: 3 });
  const wider = withFields('wider', { routed_scaling_factor: 1, sliding_window: 2 });
  expect(await computeLogits(published, rows)).toEqual(await computeLogits(same, rows));
  expect(await computeLogits(wider, rows)).not.toEqual(await computeLogits(same, rows));
});

it('GPT-NeoX Japanese, width-pruned alike in all blocks, is no ordinary model: its config.json counts by a factor', async () => {
  const source = familyFixture('gpt_neox_japanese');
  const { model } = await openModelFiles(source);
  const plan = model.summary.sublayers.flatMap(({ id, kind }) =>
    kind === 'feedforward' ? [{ sublayer: id, remove: '0-3' }] : [],
  );
  const { layout } = await pruneWidths(source, { widths: plan }, 'japanese');
  expect(layout).toBe('auto-map');
});

it('Gemma 3n with feed-forwards of two widths is refused as a GGUF file, which llama.cpp could not load', () => {
  const code = (name: 'gemma3n' | 'gemma4'): string | undefined => {
    const configFile = familyFixture(`${name}_text`, 'config.json');
    const target = { architecture: name, family: ggufFamilies[name] ?? { modelType: name } };
    const facts = { source: 'header', configFile, target } as const;
    const family = decoderIn(readFileSync(configFile, 'utf8'), configFile);
    const widths = { 'block.0.feedforward': 32, 'block.1.feedforward': 64 };
    return llamaCppViolation({ ...facts, ...family }, [0, 1], { widths })?.code;
  };
  expect(code('gemma3n')).toBe('uneven-widths');
  expect(code('gemma4')).not.toBe('uneven-widths');
});

it.each([
  ['blenderbot-small', 512],
  ['whisper', 448],
])('a decoder of %s has positions for %i tokens by default', async (name, count) => {
  const copy = join(folder, `${name}-decoder`);
  cpSync(familyFixture(name), copy, { recursive: true });
  const { max_position_embeddings: _, max_target_positions: __, ...config } = readConfig(copy);
  writeFileSync(join(copy, 'config.json'), JSON.stringify(config));
  await expect(openModelFiles(copy)).rejects.toThrow(`[${count}, `);
});
