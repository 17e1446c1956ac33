import { cpSync, openSync, closeSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { evaluatePerplexity } from '../../../extension/core/evaluate/perplexity';
import type { PerplexityOptions } from '../../../extension/core/evaluate/perplexity';
import type { Evaluation } from '../../../extension/core/evaluate/evaluation';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { negativeLogLikelihood } from '../../../extension/core/runtime/next-token';
import { sumOverTokens } from '../../../extension/core/runtime/token-sums';
import { fixture, readFloats, readJson } from '../fixtures';
import type { GoldenArray } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

async function withExecutor<T>(
  path: string,
  run: (executor: LayeredExecutor) => Promise<T>,
  memoryBytes = 1 << 30,
): Promise<T> {
  const executor = new LayeredExecutor(await openModel(path), 'cpu', memoryBytes);
  try {
    return await run(executor);
  } finally {
    await executor.dispose();
  }
}

async function evaluate(
  path: string,
  ids: readonly number[],
  options: PerplexityOptions = {},
  memoryBytes?: number,
): Promise<Evaluation> {
  return withExecutor(
    path,
    async (executor) => evaluatePerplexity(executor, Int32Array.from(ids), options, unattended),
    memoryBytes,
  );
}

/** Σ −log softmax(logits)[next id] in float64; `logits` is [sequence, vocabulary]. */
function loss(logits: Float32Array, ids: readonly number[]): number {
  const vocabulary = logits.length / ids.length;
  let sum = 0;
  for (let t = 0; t + 1 < ids.length; t++) {
    const row = [...logits.subarray(t * vocabulary, (t + 1) * vocabulary)];
    const highest = Math.max(...row);
    const total = row.reduce((all, logit) => all + Math.exp(logit - highest), 0);
    sum += Math.log(total) + highest - (row[ids[t + 1] ?? -1] ?? Number.NaN);
  }
  return sum;
}

interface Golden {
  readonly inputIds: readonly (readonly number[])[];
}

describe('perplexity', () => {
  it.each(['llama-gqa-untied', 'llama-tied-f16', 'qwen3', 'phi3-sliding'])(
    "equals the perplexity of transformers' logits (%s)",
    async (name) => {
      const { inputIds, logits } = readJson<Golden & { logits: GoldenArray }>(name, 'golden.json');
      const golden = readFloats(name, logits);
      const half = golden.length / 2;
      const [first = [], second = []] = inputIds;
      const expected = Math.exp(
        (loss(golden.subarray(0, half), first) + loss(golden.subarray(half), second)) /
          (first.length + second.length - 2),
      );
      const { perplexity, tokens, tokensPerSecond } = await evaluate(
        fixture(name),
        inputIds.flat(),
        { length: first.length },
      );
      expect(Math.abs(perplexity / expected - 1)).toBeLessThan(1e-5);
      expect(tokens).toBe(first.length + second.length - 2);
      expect(tokensPerSecond).toBeGreaterThan(0);
    },
  );

  it("equals the perplexity of transformers' logits with sublayers removed", async () => {
    const { inputIds, cases } = readJson<
      Golden & { cases: (GoldenArray & { removed: string[] })[] }
    >('llama-gqa-untied', 'golden-removed.json');
    const { summary } = await openModel(fixture('llama-gqa-untied'));
    const [first = [], second = []] = inputIds;
    for (const golden of cases) {
      const logits = readFloats('llama-gqa-untied', golden);
      const half = logits.length / 2;
      const expected = loss(logits.subarray(0, half), first) + loss(logits.subarray(half), second);
      const removed = new Set(
        golden.removed.map((id) => summary.sublayers.findIndex((sublayer) => sublayer.id === id)),
      );
      const options = { length: first.length, removed };
      const result = await evaluate(fixture('llama-gqa-untied'), inputIds.flat(), options);
      const mean = expected / (first.length + second.length - 2);
      expect(Math.abs(result.perplexity / Math.exp(mean) - 1)).toBeLessThan(1e-5);
    }
  });

  it('counts a shorter last window, but not one of a single token', async () => {
    const { inputIds } = readJson<Golden>('llama-gqa-untied', 'golden.json');
    const ids = inputIds.flat().slice(0, 45);
    const windows = [ids.slice(0, 20), ids.slice(20, 40), ids.slice(40)];
    const expected = await withExecutor(fixture('llama-gqa-untied'), async (executor) => {
      let sum = 0;
      for (const window of windows) {
        let state = await executor.embed(Int32Array.from(window));
        for (const index of executor.model.summary.sublayers.keys()) {
          [state = state] = await executor.run(index, [state]);
        }
        sum += loss(await executor.logits(state), window);
      }
      return Math.exp(sum / 42);
    });
    const result = await evaluate(fixture('llama-gqa-untied'), ids, { length: 20 });
    expect(result.tokens).toBe(42);
    expect(Math.abs(result.perplexity / expected - 1)).toBeLessThan(1e-5);
    const single = await evaluate(fixture('llama-gqa-untied'), ids.slice(0, 41), { length: 20 });
    expect(single.tokens).toBe(38);
  });

  it('with a stride predicts every token once, with more preceding text', async () => {
    const { inputIds } = readJson<Golden>('llama-gqa-untied', 'golden.json');
    const ids = inputIds.flat().slice(0, 41);
    const [length, stride] = [16, 6];
    const expected = await withExecutor(fixture('llama-gqa-untied'), async (executor) => {
      let sum = 0;
      for (let token = 1; token < ids.length; token++) {
        // The first window that reaches the token.
        const start = Math.max(0, Math.ceil((token + 1 - length) / stride)) * stride;
        const context = ids.slice(start, token + 1);
        let state = await executor.embed(Int32Array.from(context));
        for (const index of executor.model.summary.sublayers.keys()) {
          [state = state] = await executor.run(index, [state]);
        }
        const logits = await executor.logits(state);
        const vocabulary = logits.length / context.length;
        sum += loss(logits.slice(-2 * vocabulary), context.slice(-2));
      }
      return Math.exp(sum / (ids.length - 1));
    });
    const options = { length, stride };
    const result = await evaluate(fixture('llama-gqa-untied'), ids, options);
    expect(result.tokens).toBe(40);
    expect(Math.abs(result.perplexity / expected - 1)).toBeLessThan(1e-5);
    await expect(
      evaluate(fixture('llama-gqa-untied'), ids, { length, stride: 16 }),
    ).rejects.toMatchObject({ subject: { field: 'stride' } });
  });

  it('does not depend on batches, streaming or the model having fewer positions', async () => {
    const { inputIds } = readJson<Golden>('llama-gqa-untied', 'golden.json');
    const ids = Array.from({ length: 20 }, () => inputIds.flat()).flat();
    const whole = await evaluate(fixture('llama-gqa-untied'), ids);
    const cut = await evaluate(fixture('llama-gqa-untied'), ids, { length: 64 });
    const streamed = await evaluate(fixture('llama-gqa-untied'), ids, { length: 64 }, 1);
    expect(cut.perplexity).toBe(whole.perplexity);
    expect(Math.abs(streamed.perplexity / whole.perplexity - 1)).toBeLessThan(1e-6);
    expect(whole.tokens).toBe(ids.length - ids.length / 64);
  });

  it('reads the logits in slices', async () => {
    const { inputIds } = readJson<Golden>('llama-gqa-untied', 'golden.json');
    const ids = Int32Array.from(inputIds[0] ?? []);
    await withExecutor(fixture('llama-gqa-untied'), async (executor) => {
      const state = await executor.embed(ids);
      const terms = [negativeLogLikelihood];
      const [whole = NaN] = await sumOverTokens(executor, ids.subarray(1), state, terms);
      for (const rows of [1, 5, 23]) {
        const next = ids.subarray(1);
        const [sliced = NaN] = await sumOverTokens(executor, next, state, terms, rows);
        expect(Math.abs(sliced / whole - 1)).toBeLessThan(1e-6);
      }
    });
  });

  it('reports every sequence and stops when cancelled', async () => {
    const { inputIds } = readJson<Golden>('llama-gqa-untied', 'golden.json');
    const ids = Int32Array.from(Array.from({ length: 100 }, () => inputIds.flat()).flat());
    await withExecutor(fixture('llama-gqa-untied'), async (executor) => {
      const seen: StageProgress[] = [];
      const watcher = {
        cancellation: { isCancellationRequested: false },
        progress: (progress: StageProgress) => seen.push(progress),
      };
      await evaluatePerplexity(executor, ids, { length: 48 }, watcher);
      const done = seen.map((progress) => progress.done);
      expect(seen[0]).toMatchObject({ done: 0, total: 100, unit: 'sequences' });
      expect(done).toEqual([...done].sort((a, b) => a - b));
      expect(done.at(-1)).toBe(100);
      const stopping = {
        cancellation: { isCancellationRequested: false },
        progress: () => {
          stopping.cancellation.isCancellationRequested = true;
        },
      };
      const before = executor.evaluations;
      await expect(
        evaluatePerplexity(executor, ids, { length: 48 }, stopping),
      ).rejects.toBeInstanceOf(CancelledError);
      const warmUp = executor.model.summary.sublayers.length;
      expect(executor.evaluations - before).toBeLessThan(2 * warmUp + 100);
    });
  });

  it.each([
    [[], 64],
    [[5], 64],
    [[5, 6, 7], 1],
  ])('needs two tokens in a window: %j in windows of %i', async (ids, length) => {
    await expect(evaluate(fixture('llama-gqa-untied'), ids, { length })).rejects.toFailWith({
      code: 'windows-too-short',
    });
  });
});

/** A copy of a fixture with the first number of one tensor replaced. */
async function spoil(copy: string, tensorName: string, value: number): Promise<string> {
  const path = join(folder, copy);
  cpSync(fixture('llama-gqa-untied'), path, { recursive: true });
  const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
  const tensor = tensors.get(tensorName);
  if (tensor?.dtype !== 'F32') {
    throw new Error(`no float32 tensor ${tensorName}`);
  }
  const file = openSync(tensor.file, 'r+');
  writeSync(file, new Uint8Array(Float32Array.of(value).buffer), 0, 4, tensor.offset);
  closeSync(file);
  return path;
}

describe('a model with non-finite logits', () => {
  let ids: readonly number[] = [];

  beforeAll(() => {
    ids = readJson<Golden>('llama-gqa-untied', 'golden.json').inputIds.flat();
  });

  it.each([
    ['model.layers.2.mlp.down_proj.weight', Number.NaN, 'block.2.feedforward'],
    ['model.layers.0.self_attn.q_proj.weight', Number.POSITIVE_INFINITY, 'block.0.attention'],
    ['model.layers.3.input_layernorm.weight', Number.NEGATIVE_INFINITY, 'block.3.attention'],
  ])('names the weight at fault: %s of %d', async (tensor, value, sublayer) => {
    const path = await spoil(`${sublayer}-${value}`, tensor, value);
    const failure = evaluate(path, ids, { length: 24 });
    await expect(failure).rejects.toThrow(
      `${join(path, 'model.safetensors')}: ${tensor}: The weight contains NaN or infinity, so ${sublayer} can't be computed.`,
    );
    await expect(failure).rejects.toHaveProperty('name', 'UserError');
  });

  it('is evaluated without the sublayer at fault', async () => {
    const path = await spoil('skipped', 'model.layers.1.mlp.up_proj.weight', Number.NaN);
    const { summary } = await openModel(path);
    const index = summary.sublayers.findIndex(({ id }) => id === 'block.1.feedforward');
    const { perplexity } = await evaluate(path, ids, { removed: new Set([index]) });
    expect(perplexity).toBeGreaterThan(1);
  });

  it('names the sublayer that overflows with finite weights', async () => {
    const path = await spoil('overflow', 'model.layers.1.post_attention_layernorm.weight', 3e38);
    await expect(evaluate(path, ids)).rejects.toFailWith({
      code: 'sublayer-not-finite',
      file: 'overflow',
    });
  });

  it('names the head and the embedding', async () => {
    const head = await spoil('head', 'lm_head.weight', Number.NaN);
    await expect(evaluate(head, ids)).rejects.toFailWith({
      code: 'sublayer-not-finite',
      file: 'head',
    });
    const embedding = await spoil('embedding', 'model.embed_tokens.weight', Number.NaN);
    await expect(evaluate(embedding, [0, ...ids])).rejects.toFailWith({
      code: 'sublayer-not-finite',
      file: 'embedding',
    });
  });
});
