import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { openModel } from '../../../extension/core/models/open-model';
import { prune } from '../export/pruning';
import { familyFixture, relativeError } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { computeOutputs, readStates } from './encodings/layered';

const out = temporaryFolder();
const folder = familyFixture('gemma3n_text');
const ids = Int32Array.from([5, 9, 13, 21, 34, 8, 3, 60, 17, 44, 29, 63]);

// Block 2 reads keys and values of block 0, and block 3 of block 1.
const removals = [
  ['block.1.attention', 'block.2.feedforward'],
  ['block.0.attention', 'block.0.feedforward', 'block.1.attention', 'block.1.feedforward'],
  ['block.2.attention', 'block.3.attention', 'block.3.feedforward'],
  ['block.0.feedforward', 'block.1.attention', 'block.1.feedforward'],
];

it.each(removals.map((removed) => [removed]))(
  'without %j streams are still predicted and corrected, and the residual of low rank stays',
  async (removed) => {
    const { path } = await prune(folder, removed, join(out, removed.join('+')));
    const expected = await computeOutputs(await openModel(folder), [ids], removed);
    const pruned = await openModel(path);
    expect(relativeError(await computeOutputs(pruned, [ids]), expected)).toBeLessThan(1e-5);
    expect(pruned.summary.absent).toEqual(removed.toSorted());
    expect(pruned.summary.warnings).toEqual([]);
    const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
    for (const id of removed) {
      const [block, kind] = id.split('.').slice(1);
      const isThere = (name: string): boolean =>
        tensors.has(`model.layers.${block}.${name}.weight`);
      expect(isThere(kind === 'attention' ? 'self_attn.q_proj' : 'mlp.down_proj')).toBe(false);
      expect(isThere('input_layernorm')).toBe(true);
      expect(isThere('altup.modality_router')).toBe(true);
      expect(isThere('laurel.linear_left')).toBe(true);
    }
  },
);

it('written with zeros has the same outputs, and keeps its four streams', async () => {
  const removed = ['block.0.attention', 'block.3.feedforward'];
  const { path } = await prune(folder, removed, join(out, 'zeroed'), { layout: 'zeroed' });
  const zeroed = await openModel(path);
  const expected = await computeOutputs(await openModel(folder), [ids], removed);
  expect(relativeError(await computeOutputs(zeroed, [ids]), expected)).toBeLessThan(1e-5);
  const states = await readStates(zeroed, ids);
  const streams = ['expected.0', 'expected.1', 'expected.2', 'expected.3'];
  expect(Object.keys(states[1]?.values ?? {})).toEqual(expect.arrayContaining(streams));
  expect(Object.keys(states.at(-1)?.values ?? {})).toEqual(['hidden']);
});

it.each([
  [
    'altup_active_idx',
    1,
    { code: 'config-value-unsupported' as const, file: 'config.json', field: 'altup_active_idx' },
  ],
  [
    'num_kv_shared_layers',
    3,
    {
      code: 'config-value-unsupported' as const,
      file: 'config.json',
      field: 'num_kv_shared_layers',
    },
  ],
] as const)('refuses a config with another %s, and names the field', async (field, value, why) => {
  const other = join(out, field);
  cpSync(folder, other, { recursive: true });
  const file = join(other, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, [field]: value }));
  await expect(openModel(other)).rejects.toFailWith(why);
});
