import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { foreseeRefusals } from '../../../extension/core/export/writable';
import { describeFlow } from '../../../extension/core/inspect/flow/diagrams';
import { inEnglish } from '../../../extension/core/message';
import { readIds, vocabularyBounds } from '../../../extension/core/models/example';
import { AnsweredIds } from '../../../extension/core/models/model-input';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { listCandidates } from '../../../extension/core/prune/candidates';
import { encoderOutput, seq2seqFixture, seq2seqGolden, seq2seqNames } from '../encoder-fixtures';
import { prune, readConfig, rejection } from '../export/pruning';
import { relativeError } from '../fixtures';
import { runSearch } from '../prune/run-search';
import { modelFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { withLetters } from './with-letters';

const out = temporaryFolder();

/** A model with other fields in its config.json. */
function withFields(name: string, fields: Readonly<Record<string, unknown>>): string {
  const folder = join(out, `${name}-${Object.keys(fields).join('-')}`);
  cpSync(seq2seqFixture(name), folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...readConfig(folder), ...fields }));
  return folder;
}

const encoderBlock = ['block.0.attention', 'block.0.feedforward'];
const decoderBlock = ['block.3.attention', 'block.3.cross-attention', 'block.3.feedforward'];
const single = ['block.0.attention', 'block.2.feedforward', 'block.4.cross-attention'];
/** Norms of sums stay, and with them their blocks. */
const keepsBlocks = new Set(['bart', 'blenderbot-small', 'marian', 'marian-two', 'mvp', 'plbart']);

/** Models that are written and profiled: one for each set of features. The other models have equal sublayers. */
const written = await sampled(seq2seqNames, async (name) => {
  const { summary } = await openModel(seq2seqFixture(name));
  return `${await modelFeatures(seq2seqFixture(name))} ${keepsBlocks.has(name)} ${summary.tiedHead}`;
});

describe.each(seq2seqNames)('%s', (name) => {
  const folder = seq2seqFixture(name);
  const golden = seq2seqGolden(name);

  it('lists cross-attention among the attentions', async () => {
    const { summary } = await openModel(folder);
    const listed = listCandidates(summary, 'attention').map(({ id }) => id);
    expect(listed).toContain('block.3.attention');
    expect(listed).toContain('block.3.cross-attention');
    expect(listed.some((id) => id.endsWith('feedforward'))).toBe(false);
  });

  it('has the logits of transformers, every tensor used', async () => {
    const output = await encoderOutput(folder, golden.examples);
    expect(relativeError(output, golden.output)).toBeLessThan(1e-4);
    const { summary } = await openModel(folder);
    expect(summary.warnings.map(inEnglish)).toEqual([]);
    const vocabularySize = name === 'marian-two' ? 70 : 64;
    expect(summary).toMatchObject({ blocks: 5, vocabularySize, tiedHead: name !== 't5-gated' });
    expect(summary.sublayers.map(({ id }) => id)).toEqual([
      ...[0, 1, 2].flatMap((block) => [`block.${block}.attention`, `block.${block}.feedforward`]),
      ...[3, 4].flatMap((block) => [
        `block.${block}.attention`,
        `block.${block}.cross-attention`,
        `block.${block}.feedforward`,
      ]),
    ]);
    const keeping = summary.sublayers.filter(({ kvBytesPerToken }) => kvBytesPerToken > 0);
    expect(keeping.map(({ id }) => id)).toEqual(['block.3.attention', 'block.4.attention']);
  });

  it.each(golden.removed)('has them without $removed', async ({ removed, output }) => {
    const actual = await encoderOutput(folder, golden.examples, removed);
    expect(relativeError(actual, output)).toBeLessThan(1e-4);
  });
});

describe.each(written)('%s', (name) => {
  const folder = seq2seqFixture(name);
  const golden = seq2seqGolden(name);

  it.each([
    ['whole blocks', [...encoderBlock, ...decoderBlock]],
    ['single sublayers', single],
  ])('opens again without %s', async (label, removed) => {
    const expected = await encoderOutput(folder, golden.examples, removed);
    const isWhole = label === 'whole blocks' && !keepsBlocks.has(name);
    const written = await prune(folder, removed, join(out, `${name}-${label}`));
    expect(written).toMatchObject({ layout: isWhole ? 'blocks' : 'auto-map', removed });
    expect(relativeError(await encoderOutput(written.path, golden.examples), expected)).toBe(0);
    const { summary } = await openModel(written.path);
    expect(summary.warnings).toEqual([]);
    expect([summary.encoderBlocks, summary.blocks]).toEqual(isWhole ? [2, 3] : [3, 5]);
    const zeroed = await prune(folder, removed, join(out, `${name}-${label}-zeroed`), {
      layout: 'zeroed',
    });
    const zeros = await encoderOutput(zeroed.path, golden.examples);
    expect(relativeError(zeros, expected)).toBeLessThan(1e-5);
    expect(readConfig(zeroed.path)).toEqual(readConfig(folder));
    const graph = await prune(folder, removed, join(out, `${name}-${label}-onnx`), {
      format: 'onnx',
    });
    expect(graph.verification.relativeError).toBeLessThan(1e-5);
  });

  it('is profiled and drawn', async () => {
    const found = await runSearch({
      folder,
      sequences: golden.examples,
      settings: { mode: 'naive', metric: 'js', budget: { kind: 'count', count: 2 } },
    });
    expect(found.rounds).toHaveLength(2);
    expect(found.candidates).toHaveLength(12);
    const distances = found.cosineLocal.map(({ distance }) => distance);
    expect(distances).toHaveLength(12);
    expect(distances.every((distance) => Number.isFinite(distance))).toBe(true);
    const flow = await describeFlow(folder);
    expect(flow).toMatchObject({ source: 'architecture', omitted: 0 });
  });
});

describe('an encoder–decoder model', () => {
  it('with a modeling file names the transformers version that reads it', async () => {
    const { path } = await prune(seq2seqFixture('t5'), single, join(out, 'too-old'));
    const text = readFileSync(join(path, 'modeling_espalier.py'), 'utf8');
    expect(text).toContain('past_seen_tokens=past');
    expect(text).toMatch(
      /import T5Config, T5For\w+, __version__\n[^]*if int\(__version__.* < 5:\n {4}raise ImportError\(".*5 or later"\)\n\n\nclass /,
    );
  });

  it('keeps the relative position bias of a removed first block', async () => {
    const { path } = await prune(seq2seqFixture('t5'), encoderBlock, join(out, 'bias'));
    const { checkpoint } = (await openModelFiles(path)).headers as {
      checkpoint: { tensors: ReadonlyMap<string, { shape: readonly number[] }> };
    };
    const name = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight';
    expect(checkpoint.tensors.get(name)?.shape).toEqual([8, 4]);
    expect(readConfig(path)).toMatchObject({ num_layers: 2, num_decoder_layers: 2 });
    expect(readConfig(path)).not.toHaveProperty('espalier');
  });

  it('splits a text into source and target', async () => {
    const folder = withLetters('t5', join(out, 'with-tokenizer'));
    const text = join(out, 'text.txt');
    writeFileSync(text, 'the model reads a text and the text is long enough\n'.repeat(40));
    const model = await openModel(folder);
    const request = { file: text, sequences: 2, length: 15 };
    const { inputs, summary } = await loadModelInputs(request, model, text, 0);
    expect(summary).toMatchObject({ sequences: 2, length: 15 });
    const examples = inputs.map((ids) => readIds(model, ids as Int32Array, text));
    const sizes = examples.map((example) =>
      Object.entries(example).map(([port, { dims }]) => [port, dims]),
    );
    const read = [
      ['input_ids', [1, 8]],
      ['attention_mask', [1, 8]],
      ['decoder_input_ids', [1, 8]],
    ];
    expect(sizes).toEqual([read, read]);
    const output = await encoderOutput(model, examples);
    expect(output).toHaveLength(2 * 8 * 64);
  });

  it('is given the answer alone as its target', async () => {
    const model = await openModel(seq2seqFixture('bart'));
    const ids = new AnsweredIds(Int32Array.of(5, 6, 7, 8, 9), 2);
    expect(readIds(model, ids, 'file')).toMatchObject({
      input_ids: { data: BigInt64Array.of(5n, 6n) },
      attention_mask: { data: BigInt64Array.of(1n, 1n) },
      // The target 7 8 9 after the first ids that the decoder reads.
      decoder_input_ids: { data: BigInt64Array.of(2n, 7n, 8n, 9n) },
    });
  });

  it('lists unsupported operations', async () => {
    const t5 = await openModelFiles(seq2seqFixture('t5'));
    expect(t5.capabilities).toMatchObject({
      run: { able: true },
      giveLogits: { able: true },
      removeBlocks: { able: true },
      compress: { able: true },
      repair: { able: true },
      patch: { code: 'several-towers' },
      pruneWidth: { able: true },
      readText: { code: 'no-tokenizer' },
      evaluate: { code: 'no-tokenizer' },
      generate: { code: 'no-tokenizer' },
    });
    expect(() => t5.model.withPatches(new Map())).toFailWith({
      code: 'patches-unsupported',
      file: 't5',
    });
    const bart = await openModelFiles(seq2seqFixture('bart'));
    const { nothing } = await foreseeRefusals(
      bart,
      { format: 'gguf' },
      { granularity: 'block', protect: [] },
    );
    expect(nothing?.message).toMatch(/can't be written to GGUF files/);
    const whisper = await openModelFiles(seq2seqFixture('whisper'));
    // One tokenizer.json knows one vocabulary.
    const two = await openModelFiles(seq2seqFixture('marian-two'));
    for (const { capabilities } of [whisper, two]) {
      expect(capabilities).toMatchObject({
        readText: { code: 'no-text-input' },
        generate: { code: 'no-text-input' },
        compress: { able: true },
      });
    }
    // It has recordings with transcripts.
    expect(whisper.capabilities).toMatchObject({ evaluate: { code: 'no-tokenizer' } });
    expect(two.capabilities).toMatchObject({ evaluate: { code: 'no-text-input' } });
    expect(vocabularyBounds(two.model)).toEqual({ input_ids: 64, decoder_input_ids: 70 });
  });

  it('without any block of a side is refused', async () => {
    const folder = seq2seqFixture('mbart');
    const { summary } = await openModel(folder);
    const ids = summary.sublayers.filter(({ block }) => block > 2).map(({ id }) => id);
    const refused = await rejection(prune(folder, ids, join(out, 'empty'), { layout: 'blocks' }));
    expect(refused.message).toMatch(
      /need at least one block in the encoder and one in the decoder/,
    );
  });

  it('without any sublayer of the encoder returns the norm of its input', async () => {
    const folder = seq2seqFixture('t5');
    const { examples } = seq2seqGolden('t5');
    const { summary } = await openModel(folder);
    const ids = summary.sublayers.filter(({ block }) => block < 3).map(({ id }) => id);
    const expected = await encoderOutput(folder, examples, ids);
    const marked = withFields('t5', { espalier: { version: 1, removed: ids } });
    expect(relativeError(await encoderOutput(marked, examples), expected)).toBeLessThan(1e-5);
  });

  it.each([
    ['bart', 'architectures', ['BartForSequenceClassification']],
    ['t5', 'architectures', ['T5ForTokenClassification']],
    ['t5', 'is_encoder_decoder', false],
    ['whisper', 'decoder_layers', 'two'],
  ])('%s with another %s is refused, naming it', async (name, field, value) => {
    const folder = withFields(name, { [field]: value });
    const { subject } = await rejection(openModel(folder));
    expect(subject).toMatchObject({ file: join(folder, 'config.json'), field });
  });

  it('returns the last hidden states if there is no head', async () => {
    const folder = withFields('pegasus', { architectures: ['PegasusModel'] });
    const { model } = await openModelFiles(folder);
    expect(model.output).toMatchObject({ name: 'last_hidden_state', givesScores: false });
    const output = await encoderOutput(model, seq2seqGolden('pegasus').examples);
    expect(output).toHaveLength(2 * 10 * 16);
  });

  it('writes a modeling file that keeps numbering caches', async () => {
    const { path } = await prune(seq2seqFixture('bart'), single, join(out, 'python'));
    const python = readFileSync(join(path, 'modeling_espalier.py'), 'utf8');
    expect(python).toContain(
      'class EspalierBartForConditionalGeneration(BartForConditionalGeneration)',
    );
    expect(python).toContain(
      'layer.get_submodule("encoder_attn").layer_idx = caches["cross-attention"]',
    );
    expect(readConfig(path)).toMatchObject({
      model_type: 'espalier-bart',
      auto_map: {
        AutoModelForSeq2SeqLM: 'modeling_espalier.EspalierBartForConditionalGeneration',
      },
      espalier: { removed: [...single].sort() },
    });
  });
});
