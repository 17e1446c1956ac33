import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { evaluateModels, judgeModels } from '../../../extension/core/evaluate/evaluate-models';
import { readHeldOut } from '../../../extension/core/evaluate/held-out';
import { measureQuality } from '../../../extension/core/evaluate/measure-quality';
import { evaluatePerplexity } from '../../../extension/core/evaluate/perplexity';
import { unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { AnsweredIds } from '../../../extension/core/models/model-input';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { seq2seqFixture, seq2seqTextNames } from '../encoder-fixtures';
import { prune } from '../export/pruning';
import { withLetters } from '../models/with-letters';
import { runSearch } from '../prune/run-search';
import { temporaryFolder } from '../temporary-folder';

const out = temporaryFolder();
const run = { device: 'cpu', memoryBytes: 1 << 30 } as const;

interface Golden {
  readonly source: readonly number[];
  readonly target: readonly number[];
  readonly loss: number;
}
const readGolden = (name: string): Golden =>
  JSON.parse(readFileSync(seq2seqFixture(name, 'golden-text.json'), 'utf8')) as Golden;

const file = (name: string, text: string): string => {
  const path = join(out, name);
  writeFileSync(path, text);
  return path;
};
const rows = (...pairs: readonly object[]): string =>
  pairs.map((pair) => JSON.stringify(pair)).join('\n');

describe.each(seq2seqTextNames)('%s', (name) => {
  it("has transformers' loss of a target after its source", async () => {
    const { source, target, loss } = readGolden(name);
    const pair = new AnsweredIds(Int32Array.from([...source, ...target]), source.length);
    const executor = new LayeredExecutor(await openModel(seq2seqFixture(name)), 'cpu', 1 << 30);
    try {
      const { perplexity, tokens, losses } = await evaluatePerplexity(
        ...([executor, [pair], {}, unattended] as const),
      );
      expect(tokens).toBe(target.length);
      expect(Math.abs((losses[0]?.sum ?? 0) / loss - 1)).toBeLessThan(1e-5);
      expect(perplexity / Math.exp(loss / target.length)).toBeCloseTo(1, 4);
    } finally {
      await executor.dispose();
    }
  });
});

describe('a model that reads source and target', async () => {
  const folder = withLetters('t5', join(out, 't5'));
  const model = await openModelFiles(folder);
  const text = file('text.txt', 'the model reads a text and the text is long enough\n'.repeat(20));
  const pairs = file(
    'pairs.jsonl',
    rows(
      ...['a source of letters', 'another', 'one more of these'].map((input) => ({
        input,
        target: `what ${input} becomes`,
      })),
    ),
  );
  const changed = await openModelFiles(
    (await prune(folder, ['block.0.attention', 'block.4.feedforward'], join(out, 'pruned'))).path,
  );

  it('is evaluated on pairs, each target after its source', async () => {
    const warn = vi.fn<(message: Message) => void>();
    const result = await evaluateModels(
      { ...run, model: changed, removed: [], text: pairs, against: model },
      { ...unattended, warn },
    );
    const tokenizer = await loadTokenizer(folder);
    const targets = ['a source of letters', 'another', 'one more of these'].map(
      (input) => tokenizer.encode(`what ${input} becomes`).length,
    );
    expect(result.tokens).toBe(targets.reduce((sum, length) => sum + length, 0));
    expect(result.against?.tokens).toBe(result.tokens);
    expect(result.perplexity).not.toBe(result.against?.perplexity);
    expect(warn).not.toHaveBeenCalled();
    const whole = await evaluateModels(
      { ...run, model, removed: [], text: pairs, whole: true },
      unattended,
    );
    expect(whole.perplexity).toBe(result.against?.perplexity);
  });

  it('reads pairs in no windows', async () => {
    for (const windows of [{ length: 16 }, { stride: 8 }]) {
      const request = { ...run, model, removed: [], text: pairs, ...windows };
      await expect(evaluateModels(request, unattended)).rejects.toFailWith({
        code: 'windows-unsupported',
        field: Object.keys(windows)[0],
      });
    }
  });

  it('predicts the second half of each window of a text, and says so', async () => {
    const warn = vi.fn<(message: Message) => void>();
    const request = { ...run, model, removed: [], text, whole: true, length: 16 };
    const { perplexity, tokens } = await evaluateModels(request, { ...unattended, warn });
    const ids = 1020;
    expect(tokens).toBe(Math.floor(ids / 16) * 8 + Math.floor((ids % 16) / 2));
    expect(Number.isFinite(perplexity)).toBe(true);
    expect(warn.mock.calls.flat().map(inEnglish)).toEqual([
      expect.stringMatching(/first half of each window is the source.*input and target/),
    ]);
    const overlapping = await evaluateModels({ ...request, stride: 4 }, unattended);
    expect(overlapping.tokens).toBe(ids - 12);
  });

  it('is compared with its original on the same targets', async () => {
    const { perplexity, distance, positions } = await measureQuality(
      { ...run, original: model, changed, text: pairs },
      unattended,
    );
    const windows = await readHeldOut(pairs, model.model, 256);
    const result = await evaluateModels(
      { ...run, model: changed, removed: [], text: pairs, against: model },
      unattended,
    );
    expect(distance).toBeGreaterThan(0);
    // The row after the last token of each target predicts nothing known.
    expect(positions).toBe((perplexity?.tokens ?? 0) + windows.length);
    expect((perplexity?.after ?? 0) / result.perplexity).toBeCloseTo(1, 5);
    expect((perplexity?.before ?? 0) / (result.against?.perplexity ?? 0)).toBeCloseTo(1, 5);
  });

  it('is profiled by perplexity and by answers, on pairs', async () => {
    const request = { file: pairs, sequences: 3, length: 64 };
    const { inputs } = await loadModelInputs(request, model.model, text, 0);
    expect(inputs.every((input) => input instanceof AnsweredIds)).toBe(true);
    for (const metric of ['perplexity', 'answers'] as const) {
      const { rounds } = await runSearch({
        folder,
        sequences: inputs,
        settings: { mode: 'naive', metric, budget: { kind: 'count', count: 1 } },
      });
      const removed = rounds.map((round) => round.removed);
      const measured = await evaluateModels({ ...run, model, removed, text: pairs }, unattended);
      const { perplexity: expected, tokens } = measured;
      const perExample = (Math.log(expected) * tokens) / inputs.length;
      const distance = rounds[0]?.distance ?? 0;
      expect(distance / (metric === 'answers' ? perExample : expected)).toBeCloseTo(1, 4);
    }
  });

  it('answers a task by likelihoods, given its source', async () => {
    const task = file(
      'choices.jsonl',
      rows(
        { context: 'one of', choices: ['these', 'those of old'], answer: 0 },
        { context: 'a model', choices: ['reads', 'is read'], answer: 1 },
      ),
    );
    const result = await judgeModels({ ...run, model, removed: [], task }, unattended);
    expect(result).toMatchObject({ kind: 'multiple-choice', examples: 2 });
    const executor = new LayeredExecutor(model.model, 'cpu', 1 << 30);
    const tokenizer = await loadTokenizer(folder);
    const source = tokenizer.encode('one of');
    try {
      const losses = [];
      for (const choice of ['these', 'those of old']) {
        const target = tokenizer.encodePlain(` ${choice}`);
        const pair = new AnsweredIds(Int32Array.of(...source, ...target), source.length);
        const found = await evaluatePerplexity(executor, [pair], {}, unattended);
        losses.push(found.losses[0]?.sum ?? Number.NaN);
      }
      const [first = 0, second = 0] = losses;
      const isRight = first < second;
      expect([isRight ? 0.5 : 0, isRight ? 1 : 0.5]).toContain(result.acc);
    } finally {
      await executor.dispose();
    }
  });

  it('names a pair without a target', async () => {
    const empty = file(
      'empty.jsonl',
      rows({ input: 'a', target: 'b' }, { input: 'a', target: ' ' }),
    );
    await expect(
      evaluateModels({ ...run, model, removed: [], text: empty }, unattended),
    ).rejects.toFailWith({ code: 'pair-empty', file: 'empty.jsonl', field: '"a"' });
  });
});
