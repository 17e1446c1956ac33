import { statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { CausalOnnxModel } from '../../../extension/core/runtime/causal-onnx-model';
import { caseNames, casesWith, fixture, readFloats, readJson, relativeError } from '../fixtures';
import type { GoldenArray } from '../fixtures';
import { modelFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, prune, readConfig } from './pruning';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => mkdtemp(join(root, 'case-'));

interface Golden {
  readonly inputIds: readonly (readonly number[])[];
}

async function openWritten(
  name: string,
  removed: readonly string[],
): Promise<{ model: CausalOnnxModel; folder: string }> {
  const folder = join(await freshFolder(), 'onnx');
  await prune(fixture(name), removed, folder, { format: 'onnx' });
  return { model: await CausalOnnxModel.open(join(folder, 'model.onnx')), folder };
}

const positions = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
const ones = (length: number): number[] => Array.from({ length }, () => 1);

/** One of each architecture for each set of features. */
const pruned = await sampled(caseNames, async (name) => {
  const { architecture } = (await openModel(fixture(name))).summary;
  return `${architecture} ${await modelFeatures(fixture(name))}`;
});

describe('a model written as ONNX', () => {
  it.each(pruned)('has the logits of %s without the sublayers', async (name) => {
    const { inputIds } = readJson<Golden>(name, 'golden.json');
    const { summary } = await openModel(fixture(name));
    const [attention, , , second] = summary.sublayers.map(({ id }) => id);
    const removed = [attention ?? '', second ?? ''];
    const { model, folder } = await openWritten(name, removed);
    const length = inputIds[0]?.length ?? 0;
    const { logits } = await model.run(
      {
        inputIds,
        attentionMask: inputIds.map(() => ones(length)),
        positionIds: inputIds.map(() => positions(0, length)),
      },
      model.emptyCache(inputIds.length),
    );
    await model.dispose();
    const expected = await computeLogits(fixture(name), inputIds, removed);
    expect(relativeError(logits, expected)).toBeLessThan(1e-4);
    const { num_hidden_layers: blocks, n_layer: ownName } = readConfig(folder);
    expect(blocks ?? ownName).toBe(summary.blocks - 1);
    expect(readConfig(folder)['model_type']).toBe(summary.architecture);
  });

  it.each(casesWith('golden-generate.json'))(
    'continues as transformers does for %s, token by token through its cache',
    async (name) => {
      const golden = readJson<{ inputIds: number[]; generated: number[]; stepLogits: GoldenArray }>(
        name,
        'golden-generate.json',
      );
      const { model } = await openWritten(name, []);
      let cache = model.emptyCache(1);
      let past = 0;
      let next = golden.inputIds;
      const generated: number[] = [];
      const steps: number[] = [];
      while (generated.length < golden.generated.length) {
        const total = past + next.length;
        const result = await model.run(
          { inputIds: [next], attentionMask: [ones(total)], positionIds: [positions(past, total)] },
          cache,
        );
        const last = result.logits.slice(result.logits.length - result.logits.length / next.length);
        const token = last.indexOf(Math.max(...last));
        steps.push(...last);
        generated.push(token);
        next = [token];
        past = total;
        ({ cache } = result);
      }
      await model.dispose();
      expect(generated).toEqual(golden.generated);
      const expected = readFloats(name, golden.stepLogits);
      expect(relativeError(Float32Array.from(steps), expected)).toBeLessThan(1e-4);
    },
  );

  describe('with left padding', () => {
    const name = 'llama-gqa-untied';
    let model: CausalOnnxModel;
    beforeAll(async () => {
      ({ model } = await openWritten(name, []));
    });
    afterAll(async () => model.dispose());

    it.each([24, 12])('agrees with transformers, first %s of 24 tokens at once', async (first) => {
      const golden = readJson<{
        inputIds: number[][];
        attentionMask: number[][];
        positionIds: number[][];
        logits: GoldenArray;
      }>(name, 'golden-padded.json');
      const vocabulary = golden.logits.shape[2] ?? 0;
      const actual = golden.inputIds.map((): number[] => []);
      let cache = model.emptyCache(actual.length);
      for (const [from, to] of [
        [0, first],
        [first, 24],
      ] as const) {
        if (from === to) {
          continue;
        }
        const part = (rows: number[][]): number[][] => rows.map((row) => row.slice(from, to));
        const result = await model.run(
          {
            inputIds: part(golden.inputIds),
            attentionMask: golden.attentionMask.map((row) => row.slice(0, to)),
            positionIds: part(golden.positionIds),
          },
          cache,
        );
        const perRow = (to - from) * vocabulary;
        for (const [row, values] of actual.entries()) {
          values.push(...result.logits.slice(row * perRow, (row + 1) * perRow));
        }
        ({ cache } = result);
      }
      // The golden logits of padded positions are zeros.
      const visible = golden.attentionMask.flat();
      const masked = actual
        .flat()
        .map((value, i) => value * (visible[Math.floor(i / vocabulary)] ?? 0));
      const expected = readFloats(name, golden.logits);
      expect(relativeError(Float32Array.from(masked), expected)).toBeLessThan(1e-4);
    });
  });

  it('contains only the remaining weights, in their own dtype', async () => {
    const { model, folder } = await openWritten('llama-bf16', ['block.0.feedforward']);
    await model.dispose();
    const { summary } = await openModel(fixture('llama-bf16'));
    const removed = summary.sublayers.find(({ id }) => id === 'block.0.feedforward');
    const bytes = statSync(join(folder, 'model.onnx_data')).size;
    const expected = summary.bytes - (removed?.bytes ?? 0);
    expect(bytes).toBeGreaterThanOrEqual(expected);
    expect(bytes - expected).toBeLessThan(4096);
  });

  it('counts caches over the attention sublayers that remain, down to none', async () => {
    const { model, folder } = await openWritten('qwen2-sliding', [
      'block.0.attention',
      'block.2.attention',
    ]);
    expect(Object.keys(model.emptyCache(1))).toEqual([
      'past_key_values.0.key',
      'past_key_values.0.value',
    ]);
    await model.dispose();
    expect(readConfig(folder)).toMatchObject({
      num_hidden_layers: 1,
      layer_types: ['sliding_attention'],
    });
    const bare = await openWritten('llama-bf16', ['block.0.attention', 'block.1.attention']);
    expect(bare.model.emptyCache(1)).toEqual({});
    await bare.model.dispose();
  });

  it('is made from a pruned folder too', async () => {
    const out = join(await freshFolder(), 'pruned');
    await prune(fixture('qwen3'), ['block.1.attention'], out);
    const again = join(await freshFolder(), 'onnx');
    const result = await prune(out, [], again, { format: 'onnx' });
    expect(result.parametersAfter).toBe(result.parametersBefore);
    expect(readConfig(again)).toMatchObject({ model_type: 'qwen3', num_hidden_layers: 3 });
    expect(readConfig(again)).not.toHaveProperty('auto_map');
    expect(readConfig(again)).not.toHaveProperty('espalier');
  });
});
