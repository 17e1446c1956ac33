import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { evaluateModels, judgeModels } from '../../../extension/core/evaluate/evaluate-models';
import { measureQuality } from '../../../extension/core/evaluate/measure-quality';
import { unattended } from '../../../extension/core/jobs/job';
import type { Example } from '../../../extension/core/models/model-input';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { applyAndMeasure } from '../../../extension/core/operations/apply-plan';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { compress } from '../../../extension/core/operations/compress';
import { planFor } from '../../../extension/core/plans/plan';
import { floatsIn, exampleTensor } from '../../../extension/core/runtime/tensors';
import { seq2seqFixture } from '../encoder-fixtures';
import { prune } from '../export/pruning';
import type { GoldenArray } from '../fixtures';
import { withLetters } from '../models/with-letters';
import { runSearch } from '../prune/run-search';
import { temporaryFolder } from '../temporary-folder';

const out = temporaryFolder();
const run = { device: 'cpu', memoryBytes: 1 << 30 } as const;
const recordings = join(import.meta.dirname, '../../fixtures/recordings');

interface Golden {
  readonly sound: string;
  readonly labels: readonly number[];
  readonly loss: number;
  readonly features: GoldenArray;
}
const golden = JSON.parse(
  readFileSync(seq2seqFixture('whisper', 'golden-sound.json'), 'utf8'),
) as readonly Golden[];
const loss = golden.reduce((sum, one) => sum + one.loss, 0);
const tokens = golden.reduce((sum, one) => sum + one.labels.length, 0);

const silence = { dtype: 'F32', dims: [0], data: new Float32Array() };

/** Files of a new folder. */
function makeFolder(name: string, texts: Readonly<Record<string, string>>): string {
  const folder = join(out, name);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(texts)) {
    writeFileSync(join(folder, file), text);
  }
  for (const { sound } of golden) {
    copyFileSync(join(recordings, sound), join(folder, sound));
  }
  return folder;
}

const row = (fields: object): string => `${JSON.stringify(fields)}\n`;

describe('a Whisper model and recordings with transcripts', async () => {
  const folder = withLetters('whisper', join(out, 'whisper'));
  const model = await openModelFiles(folder);
  const { path } = await prune(folder, ['block.1.feedforward'], join(out, 'pruned'));
  const changed = await openModelFiles(path);
  const evaluate = async (text: string): ReturnType<typeof evaluateModels> =>
    evaluateModels({ ...run, model, removed: [], text }, unattended);

  it("make spectrograms equal to transformers' own", async () => {
    const request = { file: recordings, sequences: 2, length: 16 };
    const { inputs, summary } = await loadModelInputs(request, model.model, '', 0);
    expect(summary).toMatchObject({ sequences: 2, tokens: tokens + 2 });
    for (const [i, { features, labels }] of golden.entries()) {
      const { [i]: example = {} } = inputs as readonly Example[];
      const { input_features: made = silence, decoder_input_ids: ids } = example;
      const bytes = readFileSync(seq2seqFixture('whisper', features.file));
      const expected = new Float32Array(bytes.buffer.slice(bytes.byteOffset));
      const difference = floatsIn(exampleTensor(made)).map((value, at) =>
        Math.abs(value - (expected[at] ?? Number.NaN)),
      );
      expect(difference).toHaveLength(8 * 24);
      expect(Math.max(...difference)).toBeLessThan(1e-5);
      // After the id that the decoder reads first.
      expect([...(ids?.data ?? [])].map(Number)).toEqual([2, ...labels]);
    }
  });

  it("have transformers' loss", async () => {
    const result = await evaluate(recordings);
    expect(result.tokens).toBe(tokens);
    expect(Math.abs((Math.log(result.perplexity) * tokens) / loss - 1)).toBeLessThan(1e-5);
  });

  it.each([
    ['a list', 'list.jsonl', ['audio', 'sentence']],
    ['a NeMo manifest', 'manifest.jsonl', ['audio_filepath', 'text']],
  ])('are read from %s', async (_, name, [sound = '', text = '']) => {
    const rows = golden.map((one, i) =>
      row({ [sound]: one.sound, [text]: ['what is said', 'more is said here'][i] }),
    );
    const list = join(makeFolder(name, { [name]: rows.join('') }), name);
    const { perplexity } = await evaluate(list);
    expect(perplexity / Math.exp(loss / tokens)).toBeCloseTo(1, 5);
  });

  it('are read from a folder with a text next to each recording', async () => {
    const beside = makeFolder('beside', {
      'one.txt': 'what is said\n',
      'two.txt': 'more is said here\n',
    });
    const { perplexity } = await evaluate(beside);
    expect(perplexity / Math.exp(loss / tokens)).toBeCloseTo(1, 5);
  });

  it('compare a changed model with its original, and judge it', async () => {
    const texts = ['what is said', 'said once more', 'more of it', 'it is said', 'no more'];
    const rows = texts.map((text, i) => row({ path: `${i % 2 ? 'one' : 'two'}.wav`, text }));
    const list = join(makeFolder('more', { 'more.jsonl': rows.join('') }), 'more.jsonl');
    const result = await evaluateModels(
      { ...run, model: changed, removed: [], text: list, against: model },
      unattended,
    );
    const ratio = result.perplexity / (result.against?.perplexity ?? Number.NaN);
    expect(result.perplexityRatio?.value).toBeCloseTo(ratio, 6);
    expect(ratio).not.toBe(1);
    const quality = await measureQuality(
      { ...run, original: model, changed, text: 'none.txt', examples: list },
      unattended,
    );
    expect(quality.perplexity?.tokens).toBe(result.tokens);
    expect((quality.perplexity?.after ?? 0) / result.perplexity).toBeCloseTo(1, 5);
    expect(quality).toMatchObject({ metric: 'js', positions: result.tokens + rows.length });
  });

  it('judge its agreement, and are asked for before anything is written', async () => {
    const texts = ['what is said', 'said once more', 'more of it', 'it is said', 'no more'];
    const rows = texts.map((text, i) => row({ path: `${i % 2 ? 'one' : 'two'}.wav`, text }));
    const list = join(makeFolder('judged', { 'list.jsonl': rows.join('') }), 'list.jsonl');
    const context = {
      ...unattended,
      environment: {
        ...{ samples: join(import.meta.dirname, '../../../samples'), version: '0', bundles: '' },
        ...{ costsFolder: out, open: openModelFiles },
      },
    };
    const apply = async (name: string, given: object) =>
      applyAndMeasure(
        {
          ...{ model, plan: planFor({ path: folder }, { remove: ['block.1.feedforward'] }) },
          ...{ out: join(out, name), overwrite: false, ...run },
          judging: { quality: true, require: ['agreement>0%'], wholeText: false },
          ...given,
        },
        context,
      );
    await expect(apply('refused', {})).rejects.toFailWith({
      code: 'recordings-missing',
      field: 'heldOut',
    });
    expect(existsSync(join(out, 'refused'))).toBe(false);
    // Before the sensitivity is measured.
    const progress = vi.fn();
    const budget = { model: folder, budget: 0.5, out: join(out, 'refused') };
    const compressed = async (limit: string): Promise<unknown> =>
      compress.run(buildRequest(compress, { ...budget, require: [limit] }), {
        ...context,
        progress,
      });
    await expect(compressed('agreement>0%')).rejects.toFailWith({
      code: 'recordings-missing',
      field: 'heldOut',
    });
    await expect(compressed('task>-2pt')).rejects.toFailWith({
      code: 'task-missing',
      field: 'require',
    });
    expect(progress).not.toHaveBeenCalled();
    const { verdict } = await apply('accepted', { examples: list });
    const [limit] = verdict?.limits ?? [];
    expect(limit?.measured?.value).toBeGreaterThan(0);
    expect(limit?.measured?.high).toBeLessThanOrEqual(100);
  });

  it.each(['perplexity', 'kl', 'answers'] as const)('profile it by %s', async (metric) => {
    const request = { file: recordings, sequences: 2, length: 16, answers: metric === 'answers' };
    const { inputs } = await loadModelInputs(request, model.model, '', 0);
    const { rounds } = await runSearch({
      folder,
      sequences: inputs,
      settings: { mode: 'naive', metric, budget: { kind: 'count', count: 1 } },
    });
    const removed = rounds.map((round) => round.removed);
    const found = await evaluateModels({ ...run, model, removed, text: recordings }, unattended);
    const expected = {
      perplexity: found.perplexity,
      answers: (Math.log(found.perplexity) * tokens) / golden.length,
      kl: undefined,
    }[metric];
    const distance = rounds[0]?.distance ?? Number.NaN;
    expect(distance).toBeGreaterThan(0);
    expect(distance / (expected ?? distance)).toBeCloseTo(1, 4);
  });

  it('report their errors', async () => {
    const text = join(out, 'text.txt');
    writeFileSync(text, 'the model hears and reads no text');
    await expect(evaluate(text)).rejects.toFailWith({
      code: 'recordings-missing',
      file: 'text.txt',
      remedy: /Choose recordings/,
    });
    await expect(evaluate(makeFolder('without', {}))).rejects.toFailWith({
      code: 'transcript-missing',
      file: 'one.txt',
    });
    const list = (name: string, fields: object): string =>
      join(makeFolder(name, { 'metadata.jsonl': row(fields) }), 'metadata.jsonl');
    await expect(evaluate(list('no-text', { file_name: 'one.wav' }))).rejects.toFailWith({
      code: 'recording-line-invalid',
      file: 'metadata.jsonl',
      field: 'line 1',
    });
    await expect(evaluate(list('empty', { file_name: 'one.wav', text: '' }))).rejects.toFailWith({
      code: 'transcript-empty',
      file: 'one.wav',
    });
    const long = { file_name: 'one.wav', text: 'more than the model can write' };
    await expect(evaluate(list('long', long))).rejects.toFailWith({
      code: 'transcript-too-long',
      file: 'one.wav',
    });
    const windows = { ...run, model, removed: [], text: recordings, length: 8 };
    await expect(evaluateModels(windows, unattended)).rejects.toFailWith({
      code: 'windows-unsupported',
      field: 'length',
    });
    const task = join(out, 'task.jsonl');
    writeFileSync(task, row({ context: 'one of', choices: ['these', 'those'], answer: 0 }));
    await expect(judgeModels({ ...run, model, removed: [], task }, unattended)).rejects.toFailWith({
      code: 'no-text-input',
      file: 'whisper',
    });
  });

  it('list the supported operations', () => {
    expect(model.capabilities).toMatchObject({
      evaluate: { able: true },
      readText: { code: 'no-text-input' },
      generate: { code: 'no-text-input' },
    });
  });
});
