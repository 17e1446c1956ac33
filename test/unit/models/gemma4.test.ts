import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { Prefixes } from '../../../extension/core/metrics/slices';
import { openModel } from '../../../extension/core/models/open-model';
import { TransformerModel } from '../../../extension/core/models/transformer/transformer-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatsIn } from '../../../extension/core/runtime/tensors';
import { prune } from '../export/pruning';
import { familyFixture, relativeError } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { computeOutputs } from './encodings/layered';

const out = temporaryFolder();
const folder = familyFixture('gemma4_text');
const ids = Int32Array.from([5, 9, 13, 21, 34, 8, 3, 60, 17, 44, 29, 11]);

// Block 2 reads keys and values of block 0, and block 3 of block 1.
it.each([
  [['block.1.attention', 'block.2.feedforward']],
  [['block.1.attention', 'block.1.feedforward', 'block.3.feedforward']],
  [['block.0.attention', 'block.0.feedforward', 'block.1.attention', 'block.1.feedforward']],
  [['block.0.attention', 'block.2.attention']],
])(
  'without %j keys and values stay that later blocks read, and ends of blocks',
  async (removed) => {
    const { path } = await prune(folder, removed, join(out, removed.join('+')));
    const expected = await computeOutputs(await openModel(folder), [ids], removed);
    const pruned = await openModel(path);
    expect(relativeError(await computeOutputs(pruned, [ids]), expected)).toBeLessThan(1e-5);
    expect(pruned.summary.absent).toEqual(removed.toSorted());
    const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
    for (const [block, reader] of [
      [0, 2],
      [1, 3],
    ]) {
      const isThere = (name: string): boolean => tensors.has(`model.layers.${block}.${name}`);
      const isGone = removed.includes(`block.${block}.attention`);
      expect(isThere('self_attn.q_proj.weight')).toBe(!isGone);
      expect(isThere('self_attn.k_proj.weight')).toBe(
        !isGone || !removed.includes(`block.${reader}.attention`),
      );
      expect(isThere('layer_scalar')).toBe(true);
      expect(isThere('per_layer_projection.weight')).toBe(true);
    }
  },
);

it('runs the first tokens with their per-layer embeddings', async () => {
  const model = await openModel(folder);
  const executor = new LayeredExecutor(model, 'cpu', 1 << 30);
  const prefixes = new Prefixes(executor);
  const [first, other] = [ids, ids.toReversed()];
  const states = [];
  for (const input of [first, other]) {
    let state = await prefixes.cut(input, await executor.embed(input), 5);
    for (const index of model.summary.sublayers.keys()) {
      [state = state] = await executor.run(index, [state]);
    }
    states.push(floatsIn(await executor.output(state)));
  }
  await executor.dispose();
  const whole = await computeOutputs(model, [first, other]);
  const rows = [0, ids.length].map((row) => whole.slice(row * 64, (row + 5) * 64));
  states.forEach((state, i) => {
    expect(relativeError(state, rows[i] ?? new Float32Array())).toBeLessThan(1e-5);
  });
});

it('applies other encodings of shared keys in the blocks that read them, too', async () => {
  const model = await openModel(folder);
  const layer = model.sublayer(2).linearLayers.find(({ role }) => role === 'key');
  if (layer === undefined || !(model instanceof TransformerModel)) {
    throw new Error('a decoder with keys');
  }
  const form = { kind: 'dense', weight: { ...layer.weight, name: 'others' } } as const;
  const { sublayers } = model.withMatrices(new Map([[layer.id, form]])).layout;
  const readers = sublayers.flatMap(({ kind, weights }) =>
    kind === 'attention' && weights.othersKeys?.block === 1 ? [weights.othersKeys] : [],
  );
  expect(readers.map(({ keyValue }) => keyValue[0]?.encoding)).toEqual([form]);
});

const experts = familyFixture('gemma4_text-experts');

it.each([
  [['block.0.attention', 'block.1.expert']],
  [['block.0.attention', 'block.0.expert']],
  [['block.0.expert.1', 'block.1.expert.3']],
  [['block.0.expert.0', 'block.0.expert.2']],
  [['block.0.expert.0', 'block.0.expert.1', 'block.0.expert.2', 'block.1.attention']],
])(
  'with experts parallel to the MLP, without %j, matches the model with these skipped',
  async (removed) => {
    const expected = await computeOutputs(await openModel(experts), [ids], removed);
    const { path } = await prune(experts, removed, join(out, removed.join('+')));
    expect(
      relativeError(await computeOutputs(await openModel(path), [ids]), expected),
    ).toBeLessThan(1e-5);
  },
);

it('with the same number of experts in all blocks stores it in its own fields', async () => {
  const removed = [0, 1].flatMap((block) => [1, 2, 3].map((one) => `block.${block}.expert.${one}`));
  const { path } = await prune(experts, removed, join(out, 'one-expert'));
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object;
  expect(config).toMatchObject({ num_experts: 1, top_k_experts: 1 });
  expect(config).not.toHaveProperty('num_experts_per_tok');
  const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
  const getShape = (name: string): readonly number[] | undefined =>
    tensors.get(`model.layers.0.${name}`)?.shape;
  expect(getShape('router.per_expert_scale')).toEqual([1]);
  expect(getShape('router.proj.weight')).toEqual([1, 32]);
  expect(getShape('experts.gate_up_proj')).toEqual([1, 32, 32]);
});

it('rejects a config whose blocks share keys of no block, and names the field', async () => {
  const other = join(out, 'no-lender');
  cpSync(folder, other, { recursive: true });
  const file = join(other, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, num_kv_shared_layers: 3 }));
  await expect(openModel(other)).rejects.toFailWith({
    code: 'config-value-unsupported',
    file: 'config.json',
    field: 'num_kv_shared_layers',
  });
});

it('rejects experts in the unified model, which has no MoE layers', async () => {
  const other = join(out, 'unified-experts');
  cpSync(familyFixture('gemma4_unified_text'), other, { recursive: true });
  const file = join(other, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, enable_moe_block: true }));
  await expect(openModel(other)).rejects.toFailWith({
    code: 'config-value-unsupported',
    file: 'config.json',
    field: 'enable_moe_block',
  });
});
