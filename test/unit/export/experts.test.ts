import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluatePerplexity } from '../../../extension/core/evaluate/perplexity';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture, readJson, relativeError } from '../fixtures';
import { paired } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, logitsWithout, prune, readConfig } from './pruning';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => mkdtemp(join(root, 'case-'));
const names = ['mixtral', 'mixtral-fused', 'qwen3-moe', 'qwen3-moe-mixed'];

interface Mixture {
  readonly id: string;
  readonly count: number;
}

/** Experts to remove, given the MoE layers of a model. */
const removals: Readonly<Record<string, (mixtures: readonly Mixture[]) => string[]>> = {
  'one of each layer': (mixtures) => mixtures.map(({ id }) => `${id}.1`),
  'two of a layer': ([first]) => [`${first?.id}.0`, `${first?.id}.2`],
  // Fewer than a token is sent to.
  'all of a layer but one': ([first]) =>
    Array.from({ length: (first?.count ?? 0) - 1 }, (_, j) => `${first?.id}.${j}`),
  'one and an attention': ([first]) => [`${first?.id}.3`, 'block.1.attention'],
};

async function findMoeLayers(path: string): Promise<Mixture[]> {
  const { sublayers } = (await openModel(path)).summary;
  return sublayers.flatMap(({ id, experts }) =>
    experts === undefined ? [] : [{ id, count: experts.count }],
  );
}

describe('a model without single experts', () => {
  it.each(paired(names, Object.keys(removals)))(
    'of %s has the logits of the source with a router that skips %s',
    async (name, which) => {
      const { inputIds } = readJson<{ inputIds: number[][] }>(name, 'golden.json');
      const source = fixture(name);
      const removed = removals[which]?.(await findMoeLayers(source)) ?? [];
      const [dense, expected] = await logitsWithout(source, inputIds, [[], removed]);
      if (dense === undefined || expected === undefined) throw new Error('both are computed');
      expect(relativeError(expected, dense)).toBeGreaterThan(1e-3);
      for (const format of ['safetensors', 'onnx'] as const) {
        const out = join(await freshFolder(), 'pruned');
        const result = await prune(source, removed, out, { format });
        expect(result.verification.relativeError).toBeLessThan(1e-5);
        expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
        if (format === 'safetensors') {
          const written = await openModel(out);
          expect(written.summary.parameters).toBe(result.parametersAfter);
          expect(result.bytesAfter).toBeLessThan(result.bytesBefore);
          expect(written.summary.warnings).toEqual([]);
          expect(relativeError(await computeLogits(out, inputIds), expected)).toBeLessThan(1e-6);
        }
      }
    },
  );

  it('is a standard model if each MoE layer keeps the same number, and has a modeling file otherwise', async () => {
    const source = fixture('mixtral');
    const folder = await freshFolder();
    const [uneven, even] = [join(folder, 'uneven'), join(folder, 'even')];
    await prune(source, ['block.0.expert.1', 'block.0.expert.2', 'block.0.expert.3'], uneven);
    expect(readConfig(uneven)).toMatchObject({
      model_type: 'espalier-mixtral',
      num_local_experts: 4,
      num_experts_per_tok: 2,
      espalier: { version: 1, removed: [], experts: { 0: 1 } },
    });
    expect(existsSync(join(uneven, 'modeling_espalier.py'))).toBe(true);
    const blocks = prune(source, ['block.0.expert.1'], `${uneven}-plain`, { layout: 'blocks' });
    await expect(blocks).rejects.toMatchObject({ code: 'uneven-experts' });
    const zeroed = prune(source, ['block.0.expert.1'], `${uneven}-0`, { layout: 'zeroed' });
    await expect(zeroed).rejects.toMatchObject({ code: 'zeros-not-expressible' });

    await prune(uneven, ['block.1.expert.0', 'block.1.expert.1', 'block.1.expert.3'], even);
    const plain = { ...readConfig(source), num_local_experts: 1, num_experts_per_tok: 1 };
    expect(readConfig(even)).toEqual(plain);
    expect(existsSync(join(even, 'modeling_espalier.py'))).toBe(false);
    expect(await findMoeLayers(even)).toEqual([
      { id: 'block.0.expert', count: 1 },
      { id: 'block.1.expert', count: 1 },
    ]);
  });

  it('has the perplexity of the source evaluated without them', async () => {
    const removed = ['block.0.expert.1', 'block.1.expert.0', 'block.1.expert.3'];
    const out = join(await freshFolder(), 'pruned');
    await prune(fixture('mixtral'), removed, out);
    const perplexity = async (path: string, ids: readonly string[]): Promise<number> => {
      const executor = new LayeredExecutor(await openModel(path), 'cpu', 1 << 30);
      const units = new Set(ids.flatMap((id) => executor.units.numberOf(id) ?? []));
      const text = Int32Array.from({ length: 100 }, (_, i) => (i * i * 7) % 64);
      const options = { length: 20, removed: units };
      const found = await evaluatePerplexity(executor, text, options, unattended);
      await executor.dispose();
      return found.perplexity;
    };
    const written = await perplexity(out, []);
    expect(await perplexity(fixture('mixtral'), removed)).toBeCloseTo(written, 3);
    expect(await perplexity(fixture('mixtral'), [])).not.toBeCloseTo(written, 1);
  });

  it("can't be written without all experts of an MoE layer, or without one that doesn't exist", async () => {
    const all = [0, 1, 2, 3].map((j) => `block.0.expert.${j}`);
    const out = join(await freshFolder(), 'pruned');
    await expect(prune(fixture('mixtral'), all, out)).rejects.toThrow(
      /Every expert of block.0.expert .* Write block.0.expert to remove the whole MoE layer/,
    );
    await expect(prune(fixture('mixtral'), ['block.0.expert.4'], out)).rejects.toThrow(
      /no sublayer "block.0.expert.4"/,
    );
    const both = await prune(fixture('mixtral'), ['block.0.expert', 'block.0.expert.1'], out);
    expect(both.removed).toEqual(['block.0.expert']);
  });
});
