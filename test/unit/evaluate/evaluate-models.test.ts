import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { evaluateModels } from '../../../extension/core/evaluate/evaluate-models';
import type { EvaluationRequest } from '../../../extension/core/evaluate/evaluate-models';
import type { EvaluationResult } from '../../../extension/core/evaluate/evaluation';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import { readHeldOut } from '../../../extension/core/evaluate/held-out';
import { modelWindowLength } from '../../../extension/core/evaluate/perplexity';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import { unattended } from '../../../extension/core/jobs/job';
import { fixture } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';

const softmax = (logits: readonly number[]): number[] => {
  const powers = logits.map((one) => Math.exp(one - Math.max(...logits)));
  const sum = powers.reduce((total, one) => total + one, 0);
  return powers.map((one) => one / sum);
};

const folder = temporaryFolder();
const text = join(folder, 'held-out.txt');
writeFileSync(text, 'The pear tree against the wall stays flat when it is tied early. '.repeat(20));

const path = fixture('llama-gqa-untied');
const request: EvaluationRequest = {
  model: await openModelFiles(path),
  removed: [],
  text,
  device: 'cpu',
  memoryBytes: 1 << 30,
};

async function evaluate(
  changes: Partial<EvaluationRequest>,
): Promise<{ result: EvaluationResult; warnings: string[] }> {
  const warnings: string[] = [];
  const context = { ...unattended, warn: (message: Message) => warnings.push(inEnglish(message)) };
  return { result: await evaluateModels({ ...request, ...changes }, context), warnings };
}

describe('evaluating models', () => {
  it('compares a model without some sublayers to itself whole', async () => {
    const { result: dense } = await evaluate({});
    const { result, warnings } = await evaluate({
      removed: ['block.1', 'block.2.attention', 'block.1.feedforward'],
      against: request.model,
    });
    expect(dense.against).toBeUndefined();
    expect(result.against?.perplexity).toBe(dense.perplexity);
    expect(result.against?.tokens).toBe(result.tokens);
    expect(result.perplexity).not.toBeCloseTo(dense.perplexity, 1);
    expect(warnings).toEqual([]);
  });

  it('compares the predictions of both models token by token', async () => {
    const removed = ['block.2.feedforward'];
    const { result } = await evaluate({ removed, against: request.model });
    const { model } = request.model;
    const executor = new LayeredExecutor(model, 'cpu', request.memoryBytes);
    const removedIds = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
    const computeLogits = async (ids: Int32Array, without: ReadonlySet<number>) => {
      let state = await executor.embed(ids);
      for (const index of model.summary.sublayers.keys()) {
        [state = state] = await executor.pass(index, [state], without);
      }
      return executor.logits(state);
    };
    const { vocabularySize: width = 0 } = model.summary;
    let [divergence, same, tokens] = [0, 0, 0];
    for (const ids of await readHeldOut(text, model, modelWindowLength(model))) {
      if (!(ids instanceof Int32Array)) {
        throw new TypeError('a text has ids');
      }
      const [before, after] = [
        await computeLogits(ids, new Set()),
        await computeLogits(ids, removedIds),
      ];
      // The token after the last one is unknown.
      for (let row = 0; row + 1 < ids.length; row++) {
        const [z, other] = [before, after].map((all) =>
          Array.from(all.subarray(row * width, (row + 1) * width)),
        ) as [number[], number[]];
        const [p, q] = [softmax(z), softmax(other)];
        divergence += p.reduce((sum, one, i) => sum + one * Math.log(one / (q[i] ?? 0)), 0);
        same += z.indexOf(Math.max(...z)) === other.indexOf(Math.max(...other)) ? 1 : 0;
        tokens++;
      }
    }
    await executor.dispose();
    expect(result.tokens).toBe(tokens);
    expect(divergence / tokens).toBeGreaterThan(1e-3);
    expect(result.klDivergence?.value).toBeCloseTo(divergence / tokens, 5);
    expect(result.agreement?.value).toBeCloseTo(same / tokens, 10);
    for (const { value = 0, low = 0, high = 0 } of [
      result.klDivergence ?? {},
      result.agreement ?? {},
    ]) {
      expect(low).toBeLessThan(value);
      expect(high).toBeGreaterThan(value);
    }
  });

  it('reports no difference between a model and itself', async () => {
    const { result } = await evaluate({ against: request.model });
    expect(result.perplexityRatio?.value).toBe(1);
    expect(result.klDivergence?.value).toBeGreaterThanOrEqual(0);
    expect(result.klDivergence?.high).toBeLessThan(1e-6);
    expect(result.agreement).toMatchObject({ value: 1, high: 1 });
  });

  it('returns only perplexities if predictions cannot be compared, and refuses a limit on them', async () => {
    const { model } = request.model;
    const more = Object.create(model, {
      summary: { value: { ...model.summary, vocabularySize: 9999 } },
    }) as typeof model;
    const against = Object.create(request.model, { model: { value: more } }) as OpenedModel;
    const { result, warnings } = await evaluate({ against });
    expect(warnings).toEqual([expect.stringMatching(/has a vocabulary of \d+ tokens, .* of 9999/)]);
    expect(result.perplexityRatio?.value).toBe(1);
    expect(result.klDivergence ?? result.agreement).toBeUndefined();
    await expect(evaluate({ against, needsAgreement: true })).rejects.toFailWith({
      code: 'agreement-not-measurable',
      file: 'llama-gqa-untied',
      field: 'require',
    });
    const memoryBytes = leastMemory(model, 'cpu') + 1;
    const small = await evaluate({ against: request.model, memoryBytes });
    expect(small.warnings).toEqual([
      expect.stringMatching(/don't fit in memory at once.*at least \d+MiB/),
    ]);
    expect(small.result.perplexityRatio?.value).toBe(1);
  });

  it('returns only perplexities if a model has more logits than its vocabulary size', async () => {
    const padded = await makeRandomModel({ seed: 5, blocks: 1, vocabulary: 128 });
    cpSync(join(path, 'tokenizer.json'), join(padded, 'tokenizer.json'));
    const opened = await openModelFiles(padded);
    const { vocabularySize } = request.model.model.summary;
    const model = Object.create(opened.model, {
      summary: { value: { ...opened.model.summary, vocabularySize } },
    }) as typeof opened.model;
    const { capabilities } = opened;
    const against = Object.create(opened, {
      ...{ model: { value: model }, capabilities: { value: capabilities } },
    }) as OpenedModel;
    const { result, warnings } = await evaluate({ against });
    expect(warnings).toEqual([expect.stringMatching(/returns logits of 112 tokens, .* of 128/)]);
    expect(result.perplexity).toBe((await evaluate({})).result.perplexity);
    expect(result.against?.perplexity).toBeGreaterThan(1);
    expect(result.perplexityRatio).toBeDefined();
    expect(result.klDivergence ?? result.agreement).toBeUndefined();
    await expect(evaluate({ against, needsAgreement: true })).rejects.toFailWith({
      code: 'agreement-not-measurable',
      file: expect.any(String),
      field: 'require',
    });
  });

  it('uses windows that both models can read', async () => {
    const short = join(folder, 'short');
    cpSync(path, short, { recursive: true });
    const config = JSON.parse(readFileSync(join(short, 'config.json'), 'utf8')) as object;
    writeFileSync(
      join(short, 'config.json'),
      JSON.stringify({ ...config, max_position_embeddings: 16 }),
    );
    const { result } = await evaluate({ against: await openModelFiles(short) });
    expect(result.against?.perplexity).toBe(result.perplexity);
    expect(result.perplexity).toBe((await evaluate({ length: 16 })).result.perplexity);
    expect(result.perplexity).not.toBe((await evaluate({})).result.perplexity);
  });

  it('warns when the tokens differ', async () => {
    const other = join(folder, 'other');
    cpSync(path, other, { recursive: true });
    const file = join(other, 'tokenizer.json');
    const tokenizer = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...tokenizer, post_processor: null }));
    const { warnings } = await evaluate({ against: await openModelFiles(other) });
    expect(warnings).toEqual([
      expect.stringMatching(/llama-gqa-untied and other tokenize the text differently/),
    ]);
  });

  it('refuses unknown options', async () => {
    await expect(evaluate({ removed: ['block.9.attention'] })).rejects.toFailWith({
      code: 'sublayer-unknown',
      field: 'removed',
    });
    await expect(evaluate({ text: join(folder, 'nowhere.txt') })).rejects.toFailWith({
      code: 'file-missing',
      file: 'nowhere.txt',
    });
    writeFileSync(join(folder, 'blank.md'), '\n');
    await expect(evaluate({ text: join(folder, 'blank.md') })).rejects.toFailWith({
      code: 'text-empty',
      file: 'blank.md',
    });
    await expect(evaluate({ model: await openModelFiles(fixture('qwen3')) })).rejects.toFailWith({
      code: 'no-tokenizer',
      file: 'qwen3',
    });
  });
});
