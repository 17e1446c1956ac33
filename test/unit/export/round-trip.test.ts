import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { ByteCopier } from '../../../extension/core/export/byte-copier';
import { writeSafetensors } from '../../../extension/core/export/hugging-face/safetensors-writer';
import type { PlannedTensor } from '../../../extension/core/export/weight-plan';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { caseNames, casesWith, fixture, readFloats, readJson, relativeError } from '../fixtures';
import type { GoldenArray } from '../fixtures';
import { modelFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { hashes, computeLogits, prune, readConfig } from './pruning';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => mkdtemp(join(root, 'case-'));

interface Golden {
  readonly inputIds: readonly (readonly number[])[];
}

const sources = await sampled(caseNames, (name) => modelFeatures(fixture(name)));

describe('pruned safetensors', () => {
  it.each(sources)('of %s have the logits of the source without the sublayers', async (name) => {
    const { inputIds } = readJson<Golden>(name, 'golden.json');
    const before = hashes(fixture(name));
    const { sublayers } = (await openModel(fixture(name))).summary;
    const ids = sublayers.map(({ id }) => id);
    const removals = [[...ids.slice(0, 1), ...ids.slice(-1)], ids.slice(0, 2)];
    for (const removed of removals) {
      const out = join(await freshFolder(), 'pruned');
      const result = await prune(fixture(name), removed, out);
      expect(result.verification.relativeError).toBeLessThan(1e-5);
      const written = (await openModel(out)).summary;
      expect(written.sublayers).toHaveLength(sublayers.length - removed.length);
      expect(written.parameters).toBe(result.parametersAfter);
      expect(result.bytesAfter).toBeLessThan(result.bytesBefore);
      expect(written.warnings).toEqual([]);
      // The verification of the writer is repeated here for the first.
      if (removed === removals[0]) {
        const expected = await computeLogits(fixture(name), inputIds, removed);
        expect(relativeError(await computeLogits(out, inputIds), expected)).toBeLessThan(1e-6);
      }
    }
    expect(hashes(fixture(name))).toEqual(before);
  });

  it.each(casesWith('golden-removed.json'))('of %s agree with transformers', async (name) => {
    const golden = readJson<Golden & { cases: (GoldenArray & { removed: string[] })[] }>(
      name,
      'golden-removed.json',
    );
    for (const removedCase of golden.cases) {
      const out = join(await freshFolder(), 'pruned');
      await prune(fixture(name), removedCase.removed, out);
      const actual = await computeLogits(out, golden.inputIds);
      expect(relativeError(actual, readFloats(name, removedCase))).toBeLessThan(1e-4);
    }
  });

  it('can be pruned again, until whole blocks are removed and the stock classes load them', async () => {
    const folder = await freshFolder();
    const source = fixture('llama-gqa-untied');
    const { inputIds } = readJson<Golden>('llama-gqa-untied', 'golden.json');
    const [once, twice] = [join(folder, 'once'), join(folder, 'twice')];
    await prune(source, ['block.1.attention', 'block.2.feedforward', 'block.2.attention'], once);
    expect(readConfig(once)).toMatchObject({
      num_hidden_layers: 3,
      model_type: 'espalier-llama',
      espalier: { version: 1, removed: ['block.1.attention'] },
    });
    expect(existsSync(join(once, 'modeling_espalier.py'))).toBe(true);

    // Block 2 of the first result is block 3 of the source.
    await prune(once, ['block.1.feedforward', 'block.2.attention', 'block.2.feedforward'], twice);
    const plain = { ...readConfig(source), num_hidden_layers: 1 };
    expect(readConfig(twice)).toEqual(plain);
    expect(existsSync(join(twice, 'modeling_espalier.py'))).toBe(false);
    const left = ['block.0.attention', 'block.0.feedforward'];
    const { sublayers } = (await openModel(source)).summary;
    const removed = sublayers.map(({ id }) => id).filter((id) => !left.includes(id));
    const expected = await computeLogits(source, inputIds, removed);
    expect(relativeError(await computeLogits(twice, inputIds), expected)).toBeLessThan(1e-6);
  });

  it('keeps the windows of the blocks that remain', async () => {
    for (const name of ['qwen2-sliding', 'qwen2-old-config-sliding']) {
      const out = join(await freshFolder(), 'pruned');
      await prune(fixture(name), ['block.0.attention', 'block.0.feedforward'], out);
      const { layer_types: layerTypes, max_window_layers: first } = readConfig(out);
      expect(first).toBe(name === 'qwen2-sliding' ? 0 : 1);
      expect(layerTypes).toEqual(
        name === 'qwen2-sliding' ? ['sliding_attention', 'sliding_attention'] : undefined,
      );
    }
  });

  it('works down to a single sublayer', async () => {
    const name = 'qwen2-sliding';
    const { inputIds } = readJson<Golden>(name, 'golden.json');
    const ids = (await openModel(fixture(name))).summary.sublayers.map(({ id }) => id);
    for (const remaining of ['block.1.attention', 'block.2.feedforward']) {
      const out = join(await freshFolder(), 'pruned');
      const removed = ids.filter((id) => id !== remaining);
      await prune(fixture(name), removed, out);
      expect(readConfig(out)['num_hidden_layers']).toBe(1);
      const expected = await computeLogits(fixture(name), inputIds, removed);
      expect(relativeError(await computeLogits(out, inputIds), expected)).toBeLessThan(1e-6);
    }
  });

  it('drops the buffers of removed modules, which no part of the model uses', async () => {
    const folder = await freshFolder();
    const source = join(folder, 'source');
    await cp(fixture('llama-tied-f16'), source, { recursive: true });
    const weights = join(source, 'model.safetensors');
    const buffer = (block: number): string => `model.layers.${block}.self_attn.rotary_emb.inv_freq`;
    const file = join(folder, 'buffer');
    await writeFile(file, Float32Array.from([1, 2, 3, 4]));
    const { tensors, files, metadata } = await openSafetensors(
      fixture('llama-tied-f16', 'model.safetensors'),
    );
    const buffers = [0, 1].map((block): PlannedTensor => {
      const name = buffer(block);
      return { name, tensor: { name, dtype: 'F32', shape: [4], file, offset: 0, length: 16 } };
    });
    const planned = [...buffers, ...Array.from(tensors, ([name, tensor]) => ({ name, tensor }))];
    await rm(weights);
    const copier = new ByteCopier(0, unattended);
    await writeSafetensors(
      source,
      [{ fileName: 'model.safetensors', tensors: planned }],
      { tensors, files, entry: weights, metadata },
      copier,
    );
    await copier.close();

    await prune(source, ['block.0.attention'], join(folder, 'out'));
    const written = await openSafetensors(join(folder, 'out', 'model.safetensors'));
    expect(written.tensors.has(buffer(0))).toBe(false);
    expect(written.tensors.has(buffer(1))).toBe(true);
  });

  it('copies a shard as a whole if nothing is removed from it', async () => {
    const folder = await freshFolder();
    const source = join(folder, 'source');
    const shards = { maxShardBytes: 20_000 };
    await prune(fixture('llama-gqa-untied'), ['block.0.feedforward'], source, shards);
    const { summary } = await openModel(source);
    const last = summary.sublayers.at(-1)?.id ?? '';
    const out = join(folder, 'out');
    const result = await prune(source, [last], out);
    expect(result.verification.relativeError).toBe(0);
    const name = (files: Record<string, string>): string[] => Object.values(files);
    const same = name(hashes(out)).filter((hash) => name(hashes(source)).includes(hash));
    const weights = result.files.filter(({ name: file }) => file.endsWith('.safetensors'));
    expect(weights.length).toBeGreaterThan(2);
    expect(same.length).toBeGreaterThanOrEqual(weights.length - 1);
  });
});
