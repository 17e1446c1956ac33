import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { evaluateModels } from '../../../extension/core/evaluate/evaluate-models';
import type { EvaluationRequest } from '../../../extension/core/evaluate/evaluate-models';
import type { EvaluationResult } from '../../../extension/core/evaluate/evaluation';
import { unattended } from '../../../extension/core/jobs/job';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';

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

  it('refuses what it does not know', async () => {
    await expect(evaluate({ removed: ['block.9.attention'] })).rejects.toThrow(
      /block\.9\.attention/,
    );
    await expect(evaluate({ text: join(folder, 'nowhere.txt') })).rejects.toThrow(/no such file/);
    writeFileSync(join(folder, 'blank.md'), '\n');
    await expect(evaluate({ text: join(folder, 'blank.md') })).rejects.toThrow(/text is empty/);
    await expect(evaluate({ model: await openModelFiles(fixture('qwen3')) })).rejects.toThrow(
      /tokenizer\.json/,
    );
  });
});
