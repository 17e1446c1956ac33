import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { keepsTurns, sharedTensorName } from '../../../extension/core/models/shared-modules';
import { prune, rejection } from '../export/pruning';
import { familyFixture, relativeError } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { computeOutputs } from './encodings/layered';

const out = temporaryFolder();
const folder = familyFixture('zamba2');
const ids = Int32Array.from([5, 9, 13, 21, 34, 8, 3, 60, 17, 44, 29, 11]);

/** Of blocks 0 and 2, which blocks 3 and 5 use as well. */
const shared = { module: 'shared_transformer', users: [0, 2, 3, 5], turns: 2 };

it('a shared module moves to the first remaining user', () => {
  const place = (block: number, rest: string, blocks: readonly number[]) =>
    sharedTensorName(shared, { block, rest }, blocks);
  expect(keepsTurns(shared, [0, 1, 2, 3])).toBe(true);
  expect(keepsTurns(shared, [1, 2, 3, 5])).toBe(false);
  expect(keepsTurns(shared, [1, 3, 4, 5])).toBe(true);
  expect(place(0, 'self_attn.q_proj.weight', [1, 3, 4, 5])).toEqual({
    block: 3,
    rest: 'self_attn.q_proj.weight',
  });
  const adapter = (use: number): string => `feed_forward.gate_up_proj_adapter_list.${use}.0.weight`;
  expect(place(2, adapter(3), [1, 3, 4, 5])).toEqual({ block: 5, rest: adapter(1) });
  expect(place(0, adapter(0), [1, 3, 4, 5])).toBeUndefined();
});

it.each([
  ['blocks', ['block.1.mixer']],
  ['blocks', ['block.3.attention', 'block.3.mixer']],
  ['blocks', ['block.0.attention', 'block.0.mixer', 'block.2.attention', 'block.2.mixer']],
  ['zeroed', ['block.2.attention']],
  ['zeroed', ['block.0.mixer']],
  ['zeroed', ['block.0.attention', 'block.0.mixer']],
] as const)('is written as %s without %j', async (layout, removed) => {
  const name = join(out, `${layout}-${removed.join('+')}`);
  const { path } = await prune(folder, removed, name, { format: 'safetensors', layout });
  const expected = await computeOutputs(await openModel(folder), [ids], removed);
  expect(relativeError(await computeOutputs(await openModel(path), [ids]), expected)).toBeLessThan(
    1e-5,
  );
});

it('keeps weights shared by blocks once, and reports changed turns', async () => {
  const removed = ['block.0.attention', 'block.0.mixer', 'block.2.attention', 'block.2.mixer'];
  const { path } = await prune(folder, removed, join(out, 'last'));
  const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
  const sharedNames = [...tensors.keys()].filter((name) => name.includes('shared_transformer'));
  expect(sharedNames).toContain('model.layers.1.shared_transformer.self_attn.q_proj.weight');
  expect(sharedNames.filter((name) => name.includes('adapter_list'))).toHaveLength(8);
  expect(
    sharedNames.every((name) => !name.includes('adapter_list') || name.includes('_list.0.')),
  ).toBe(true);
  const first = prune(folder, removed.slice(0, 2), join(out, 'first'));
  expect((await rejection(first)).message).toMatch(/alternate between shared transformers/);
});

it('the shared module has no effect in a block without its SSM layer', async () => {
  const model = await openModel(folder);
  const [mixer, both] = await Promise.all([
    computeOutputs(model, [ids], ['block.2.mixer']),
    computeOutputs(model, [ids], ['block.2.attention', 'block.2.mixer']),
  ]);
  expect(relativeError(mixer, both)).toBe(0);
  const { summary } = await openModelFiles(folder);
  const of = (id: string) => summary.sublayers.find((one) => one.id === id);
  expect(of('block.0.attention')?.sharedWeights).toBeGreaterThan(0);
  expect(of('block.2.attention')?.sharedWeights ?? 0).toBe(0);
});
