import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { baseBytes } from '../../../extension/core/evaluate/base-probabilities';
import { evaluateWithBase, saveBase } from '../../../extension/core/evaluate/evaluate-base';
import { evaluateModels } from '../../../extension/core/evaluate/evaluate-models';
import { unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { fixture } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const text = join(folder, 'held-out.txt');
writeFileSync(text, 'The pear tree against the wall stays flat when it is tied early. '.repeat(20));

const path = fixture('llama-gqa-untied');
const model = await openModelFiles(path);
const base = join(folder, 'original.kld');
const request = { model, removed: [], base, device: 'cpu', memoryBytes: 1 << 30 } as const;
const length = 32;
const saved = await saveBase({ ...request, text, whole: true, length }, unattended);

describe('saved log-probabilities of a model', () => {
  it('have the size in their header, and the perplexity of second halves', () => {
    const { vocabularySize = 0 } = model.summary;
    const chunks = readFileSync(base).readInt32LE(16);
    expect(chunks).toBeGreaterThanOrEqual(4);
    expect(statSync(base).size).toBe(baseBytes(chunks, length, vocabularySize));
    expect(saved).toMatchObject({ base, baseBytes: statSync(base).size });
    expect(saved.tokens).toBe(chunks * (length - 1 - length / 2));
  });

  it('can be used instead of their model', async () => {
    const { perplexity, against, klDivergence, agreement } = await evaluateWithBase(
      request,
      unattended,
    );
    expect(perplexity).toBeCloseTo(saved.perplexity, 8);
    // Log-probabilities are rounded to 16 bits of a range of 16 nats.
    expect(Math.abs(Math.log(against.perplexity / perplexity))).toBeLessThan(2e-4);
    expect(Math.abs(klDivergence?.value ?? 1)).toBeLessThan(2e-4);
    expect(agreement?.value).toBeGreaterThan(0.99);
  });

  it('compare a changed model as running both does', async () => {
    const removed = ['block.2.feedforward'];
    const found = await evaluateWithBase({ ...request, removed }, unattended);
    const options = { model, removed, against: model, text, length, whole: true };
    const { device, memoryBytes } = request;
    const both = await evaluateModels({ ...options, device, memoryBytes }, unattended);
    // The other one counts all tokens of a window, on a text that repeats itself.
    expect(found.klDivergence?.value).toBeGreaterThan(1e-3);
    const ratio = (found.klDivergence?.value ?? 0) / (both.klDivergence?.value ?? 1);
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
    expect(found.klPercentiles?.maximum).toBeGreaterThan(found.klDivergence?.value ?? 9);
    expect(found.perplexityRatio?.value).toBeCloseTo(
      found.perplexity / found.against.perplexity,
      8,
    );
  });

  it('of llama-perplexity have its numbers', async () => {
    // llama.cpp of llama-cpp-python 0.3.36, float32 everywhere; the changed model has lost block 1.
    const found = await evaluateWithBase(
      {
        ...request,
        removed: ['block.1'],
        base: join(import.meta.dirname, '../../fixtures/llama-perplexity/llama-gqa-untied.kld'),
      },
      unattended,
    );
    expect(found.tokens).toBe(315);
    for (const [value, printed] of [
      [found.perplexity, 386.378432],
      [found.against.perplexity, 776.907045],
      [Math.log(found.perplexityRatio?.value ?? 0), -0.698503],
      [found.klDivergence?.value, 1.458929],
      [found.klPercentiles?.maximum, 3.610352],
      [found.klPercentiles?.p999.value, 3.610352],
      [found.klPercentiles?.p99.value, 3.402291],
      [found.klPercentiles?.median.value, 1.395511],
      [found.probabilityChange?.value, 0.08251],
      [found.agreement?.value, 0.09206],
    ] as const) {
      expect(Math.abs((value ?? 0) / printed - 1)).toBeLessThan(1e-4);
    }
  });

  it('are refused if truncated or of another vocabulary', async () => {
    const bytes = readFileSync(base);
    const cut = join(folder, 'cut.kld');
    for (const part of [bytes.subarray(0, 10), bytes.subarray(0, -2), Buffer.alloc(64)]) {
      writeFileSync(cut, part);
      await expect(evaluateWithBase({ ...request, base: cut }, unattended)).rejects.toFailWith({
        code: 'log-probabilities-invalid',
        file: 'cut.kld',
      });
    }
    const other = await makeRandomModel({ seed: 3, blocks: 1, vocabulary: 128 });
    mkdirSync(other, { recursive: true });
    copyFileSync(join(path, 'tokenizer.json'), join(other, 'tokenizer.json'));
    await expect(
      evaluateWithBase({ ...request, model: await openModelFiles(other) }, unattended),
    ).rejects.toFailWith({ code: 'vocabulary-mismatch', file: 'original.kld' });
  });
});
