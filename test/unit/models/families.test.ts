import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inEnglish } from '../../../extension/core/message';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { prune } from '../export/pruning';
import { familyFixture, familyNames, fieldsByBlock, relativeError } from '../fixtures';
import { runSearch } from '../prune/run-search';
import { runsAllCases, sampled, sublayerFeatures } from '../sample';
import { temporaryFolder } from '../temporary-folder';

const out = temporaryFolder();

interface Golden {
  readonly input_ids: readonly (readonly number[])[];
  readonly output: { readonly file: string };
}

/** Multimodal families, of which only the text tower is run. */
const textTowers: ReadonlySet<string> = new Set([
  'gemma3',
  'glm4v',
  'qwen2_5_vl',
  'qwen2_vl',
  'qwen3_vl',
]);

/** Families with additional tensors for other inputs or heads. */
const partlyRun: ReadonlySet<string> = new Set([
  ...textTowers,
  'blenderbot-small',
  // Tensors that select tokens of longer texts.
  'deepseek_v32',
  'glm_moe_dsa',
  'esm-absolute',
  'layoutlm',
  'squeezebert',
  'whisper',
]);

/** Families whose blocks share their weights. */
const fixedFamilies: ReadonlySet<string> = new Set(['albert']);

/** Families whose block a search chooses: a dense decoder, one with MoE layers, an SSM. All in `npm run test:all`. */
const searched: ReadonlySet<string> = new Set(['cohere2', 'olmoe', 'mamba2-small']);

/** Families that are written without a block: one for each set of features and of fields by block. */
const written: ReadonlySet<string> = new Set([
  ...searched,
  ...(await sampled(familyNames, async (family) => {
    const folder = familyFixture(family);
    const { summary } = await openModel(folder);
    const keeps = `${String(summary.keepsBlocks)} ${String(summary.tiedHead)}`;
    return `${await sublayerFeatures(folder)} ${fieldsByBlock(folder, summary.blocks).join()} ${keeps}`;
  })),
]);

/** Logits of all rows, one after the other. */
async function computeLogits(
  executor: LayeredExecutor,
  rows: Golden['input_ids'],
): Promise<Float32Array> {
  const logits: number[] = [];
  for (const row of rows) {
    let state = await executor.embed(Int32Array.from(row));
    for (const index of executor.model.summary.sublayers.keys()) {
      [state = state] = await executor.run(index, [state]);
    }
    logits.push(...(await executor.logits(state)));
  }
  return Float32Array.from(logits);
}

/** Bytes of every tensor that no block of the text tower has, by name. */
async function listOthers(folder: string): Promise<Map<string, Buffer>> {
  const { tensors } = await openSafetensors(join(folder, 'model.safetensors'));
  const readsText = /language_model|^model\.(?:layers|embed_tokens|norm)\./;
  const others = [...tensors].filter(([name]) => !readsText.test(name));
  return new Map(
    others.map(([name, { file, offset, length }]) => [
      name,
      readFileSync(file).subarray(offset, offset + length),
    ]),
  );
}

describe.each([...textTowers])('%s, with only the text tower run', (family) => {
  it('keeps the other parts byte for byte', async () => {
    const folder = familyFixture(family);
    const { summary } = await openModel(folder);
    const removed = summary.sublayers.filter(({ block }) => block === 0).map(({ id }) => id);
    const { path } = await prune(folder, removed, join(out, `${family}-tower`));
    const before = await listOthers(folder);
    expect(before.size).toBeGreaterThan(10);
    const after = await listOthers(path);
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [name, bytes] of before) {
      expect(after.get(name)?.equals(bytes), name).toBe(true);
    }
    const readConfig = (at: string): object =>
      JSON.parse(readFileSync(join(at, 'config.json'), 'utf8')) as object;
    expect(readConfig(path)).toMatchObject({
      text_config: { num_hidden_layers: summary.blocks - 1 },
    });
    expect(readConfig(path)).not.toHaveProperty('num_hidden_layers');
  });
});

describe.each([...fixedFamilies])('%s, whose blocks share their weights', (family) => {
  it('reports that nothing can be removed, and counts the weights once', async () => {
    const folder = familyFixture(family);
    const { summary, capabilities } = await openModelFiles(folder);
    expect(summary.sublayers.map(({ parameters }) => parameters)).toEqual(
      summary.sublayers.map(() => 0),
    );
    expect(capabilities).toMatchObject({
      run: { able: true },
      removeBlocks: { code: 'shared-weights' },
      compress: { code: 'shared-weights' },
      patch: { code: 'shared-weights' },
    });
    const refusal = { code: 'shared-weights' };
    await expect(prune(folder, ['block.1.attention'], join(out, family))).rejects.toMatchObject(
      refusal,
    );
    const settings = { mode: 'naive', granularity: 'block' } as const;
    const budget = { kind: 'count', count: 1 } as const;
    const search = runSearch({ folder, sequences: [[1, 2]], settings: { ...settings, budget } });
    await expect(search).rejects.toMatchObject(refusal);
  });
});

describe.each(familyNames)('%s', (family) => {
  const folder = familyFixture(family);
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Golden;
  let executor: LayeredExecutor;
  beforeAll(async () => {
    executor = new LayeredExecutor(await openModel(folder), 'cpu', 1 << 30);
  });
  afterAll(async () => executor.dispose());

  /** The block that a search finds least important. */
  const chosenBlock = async (): Promise<number> => {
    const found = await runSearch({
      ...{ folder, executor },
      sequences: golden.input_ids.map((row) => row.slice(0, 8)).slice(0, 1),
      settings: { mode: 'naive', granularity: 'block', budget: { kind: 'count', count: 1 } },
    });
    return Number(/\d+/.exec(found.rounds[0]?.removed ?? '')?.[0]);
  };

  it('has the logits of transformers, every tensor used', async () => {
    const bytes = readFileSync(join(folder, golden.output.file));
    const expected = new Float32Array(new Uint8Array(bytes).buffer);
    expect(relativeError(await computeLogits(executor, golden.input_ids), expected)).toBeLessThan(
      1e-4,
    );
    const { warnings } = executor.model.summary;
    expect(warnings.map(inEnglish)).toEqual(
      partlyRun.has(family) ? [expect.stringMatching(/^\d+ tensors .* are not used/)] : [],
    );
  });

  // Nothing can be removed of fixed families, as their own test says.
  if (!written.has(family) || fixedFamilies.has(family)) return;
  it('is written without a block', async () => {
    const { summary } = executor.model;
    const block = runsAllCases || searched.has(family) ? await chosenBlock() : summary.blocks - 1;
    const removed = summary.sublayers.filter((one) => one.block === block);
    const ids = removed.map(({ id }) => id);
    const result = await prune(folder, ids, join(out, family));
    // Blocks can't be removed if norms stay, or if blocks compute by their number.
    const staying =
      summary.keepsBlocks === true || removed.some(({ leavesParts }) => leavesParts === true);
    expect(result).toMatchObject({ layout: staying ? 'auto-map' : 'blocks', removed: ids });
    expect((await openModel(result.path)).summary.blocks).toBe(summary.blocks - (staying ? 0 : 1));
  });
});
