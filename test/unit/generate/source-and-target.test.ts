import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { judgeModels } from '../../../extension/core/evaluate/evaluate-models';
import { writingRules } from '../../../extension/core/generate/continuation';
import { openDecoder } from '../../../extension/core/generate/open-decoder';
import { DecoderPool } from '../../../extension/core/generate/decoder-pool';
import { generateTexts } from '../../../extension/core/generate/generate';
import { greedy, sampleToken } from '../../../extension/core/generate/sampling';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { CausalOnnxModel } from '../../../extension/core/runtime/causal-onnx-model';
import { seq2seqFixture, seq2seqTextNames } from '../encoder-fixtures';
import { prune, readConfig } from '../export/pruning';
import type { GoldenArray } from '../fixtures';
import { withLetters } from '../models/with-letters';
import { temporaryFolder } from '../temporary-folder';

const out = temporaryFolder();
const run = { removed: [], device: 'cpu', memoryBytes: 1 << 30 } as const;

interface Golden {
  readonly source: readonly number[];
  readonly generated: readonly number[];
  readonly stepLogits: GoldenArray;
}

function readGolden(name: string): Golden & { readonly logits: Float32Array } {
  const text = readFileSync(seq2seqFixture(name, 'golden-text.json'), 'utf8');
  const golden = JSON.parse(text) as Golden;
  const bytes = readFileSync(seq2seqFixture(name, golden.stepLogits.file));
  const { buffer, byteOffset, length } = bytes;
  return { ...golden, logits: new Float32Array(buffer.slice(byteOffset, byteOffset + length)) };
}

describe.each(seq2seqTextNames)('%s', (name) => {
  it("writes transformers' greedy tokens by their logits, the source's keys made once", async () => {
    const { source, generated, logits: expected } = readGolden(name);
    const vocabulary = expected.length / generated.length;
    const steps = vi.spyOn(CausalOnnxModel.prototype, 'run');
    const decoder = await openDecoder(await openModel(seq2seqFixture(name)), run);
    try {
      // Twice: after a rewind it restarts.
      for (const time of [0, 1]) {
        steps.mockClear();
        let logits = await decoder.read(Int32Array.from(source));
        for (const [step, token] of generated.entries()) {
          const row = expected.subarray(step * vocabulary, (step + 1) * vocabulary);
          const most = row.reduce((max, one) => Math.max(max, Math.abs(one)), 0);
          row.forEach((logit, id) => {
            expect(Math.abs((logits[id] ?? 0) - logit) / most).toBeLessThan(1e-4);
          });
          expect(sampleToken(logits, greedy, () => 0)).toBe(token);
          logits = await decoder.read(Int32Array.of(token));
        }
        const rows = steps.mock.calls.map(([, , settings]) => settings?.['encoded']?.dims[1]);
        expect(rows).toEqual([source.length, ...generated.map(() => 0)]);
        expect(decoder.rewind(source.length + time)).toBe(0);
      }
    } finally {
      steps.mockRestore();
      await decoder.dispose();
    }
  });
});

describe('a model that reads source and target', async () => {
  const folder = withLetters('bart', join(out, 'bart'));
  const model = await openModelFiles(folder);
  const request = {
    ...{ ...run, model, prompt: 'a source of letters', chat: false, tokens: 6, sampling: greedy },
  };

  it('writes a target without its sublayers as the written model does', async () => {
    const removed = ['block.0.attention', 'block.3.cross-attention', 'block.4.feedforward'];
    const { path } = await prune(folder, removed, join(out, 'pruned'));
    const pruned = { ...request, model: await openModelFiles(path) };
    const [skipped, written, whole] = await generateTexts(
      [{ ...request, removed }, pruned, request],
      unattended,
    );
    expect(skipped.text).toBe(written.text);
    expect(skipped.text).not.toBe(whole.text);
    expect(whole).toMatchObject({ promptTokens: 19, stopped: 'length', tokens: 6 });
  });

  it('reads another source from the start, even if it begins like the last one', async () => {
    const pool = new DecoderPool(1);
    for (const prompt of ['a source', 'a source of letters', 'a source']) {
      const [pooled] = await generateTexts([{ ...request, prompt }], unattended, pool);
      const [fresh] = await generateTexts([{ ...request, prompt }], unattended);
      expect(pooled.text).toBe(fresh.text);
    }
    const remaining = await pool.take(model.model, { ...run });
    await remaining.dispose();
  });

  it('has room for a target in addition to the source', async () => {
    const { maxPositions = 0 } = model.summary;
    expect(maxPositions).toBe(40);
    const prompt = 'a'.repeat(maxPositions);
    const [{ tokens }] = await generateTexts([{ ...request, prompt, tokens: 100 }], unattended);
    expect(tokens).toBe(maxPositions);
    await expect(
      generateTexts([{ ...request, prompt: `${prompt}b` }], unattended),
    ).rejects.toFailWith({ code: 'prompt-too-long', field: 'prompt' });
  });

  it('begins with the forced token and never writes a bad word', async () => {
    const [{ text }] = await generateTexts([request], unattended);
    const tokenizer = await loadTokenizer(folder);
    const [likeliest = 0] = tokenizer.encodePlain(text);
    const ruled = withLetters('bart', join(out, 'ruled'));
    const config = readConfig(ruled);
    const fields = { forced_bos_token_id: 5, bad_words_ids: [[likeliest], [3, 4]] };
    writeFileSync(join(ruled, 'config.json'), JSON.stringify({ ...config, ...fields }));
    const opened = await openModelFiles(ruled);
    expect(await writingRules(opened.model, tokenizer)).toMatchObject({
      first: 5,
      never: [likeliest],
    });
    const [given] = await generateTexts([{ ...request, model: opened }], unattended);
    const ids = [...tokenizer.encodePlain(given.text)];
    expect(ids[0]).toBe(5);
    expect(ids).not.toContain(likeliest);
  });

  it('answers exact-match tasks with its targets', async () => {
    const [{ text }] = await generateTexts([request], unattended);
    const task = join(out, 'task.jsonl');
    const rows = [text, 'something else'].map((target) =>
      JSON.stringify({ input: request.prompt, target, tokens: 6 }),
    );
    writeFileSync(task, rows.join('\n'));
    const result = await judgeModels({ ...run, model, task }, unattended);
    expect(result).toMatchObject({ kind: 'exact-match', acc: 0.5, examples: 2 });
  });
});
