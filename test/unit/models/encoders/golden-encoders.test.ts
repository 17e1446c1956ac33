import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluatePerplexity } from '../../../../extension/core/evaluate/perplexity';
import { unattended } from '../../../../extension/core/jobs/job';
import { openModel } from '../../../../extension/core/models/open-model';
import { fittingMetric } from '../../../../extension/core/metrics/metrics';
import { LayeredExecutor } from '../../../../extension/core/runtime/layered-executor';
import { encoderFixture, encoderGolden, encoderNames, encoderOutput } from '../../encoder-fixtures';
import { relativeError } from '../../fixtures';
import { rejection } from '../../export/pruning';
import { temporaryFolder } from '../../temporary-folder';
import { inEnglish } from '../../../../extension/core/message';

const root = temporaryFolder();

async function withConfig(name: string, fields: object): Promise<string> {
  const folder = join(await mkdtemp(join(root, 'case-')), name);
  cpSync(encoderFixture(name), folder, { recursive: true });
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...config, ...fields }));
  return folder;
}

describe('encoders against transformers', () => {
  it.each(encoderNames)('%s agrees to 1e-4', async (name) => {
    const { examples, output } = encoderGolden(name);
    const actual = await encoderOutput(encoderFixture(name), examples);
    expect(relativeError(actual, output)).toBeLessThan(1e-4);
  });

  it.each(encoderNames)('%s agrees with sublayers removed', async (name) => {
    const { examples, removed } = encoderGolden(name);
    for (const one of removed) {
      const actual = await encoderOutput(encoderFixture(name), examples, one.removed);
      expect(relativeError(actual, one.output)).toBeLessThan(1e-4);
    }
  });
});

describe('an encoder', () => {
  it.each(['bert-masked', 'vit-classes'])('%s has no perplexity, with a reason', async (name) => {
    const model = await openModel(encoderFixture(name));
    const warn = (): void => undefined;
    expect(() => fittingMetric(model, 'perplexity', warn)).toThrow(
      /Perplexity needs a model that predicts the next token; \S+ sees the whole input/,
    );
    expect(fittingMetric(model, 'js', warn)).toBe('js');
    const executor = new LayeredExecutor(model, 'cpu', 1 << 30);
    const evaluated = evaluatePerplexity(executor, Int32Array.of(3, 4, 5), {}, unattended);
    expect((await rejection(evaluated)).message).toMatch(/predicts the next token/);
    await executor.dispose();
  });

  it('reads a text as the ids alone, all attended and of one segment', async () => {
    const path = encoderFixture('bert-masked');
    const { examples } = encoderGolden('bert-masked');
    const [example = {}] = examples;
    const values = example['input_ids']?.data ?? [];
    const ids = Int32Array.from(Array.from(values, Number));
    const zeros = { dtype: 'I64', dims: [1, ids.length], data: new BigInt64Array(ids.length) };
    const executor = new LayeredExecutor(await openModel(path), 'cpu', 1 << 30);
    const [asText, asExample] = [
      await executor.embed(ids),
      await executor.embed({ ...example, token_type_ids: zeros }),
    ].map(({ values: { hidden } }) => hidden?.data);
    await executor.dispose();
    expect(asText).toEqual(asExample);
  });

  it('counts every weight once, and reads up to its number of positions', async () => {
    const { summary } = await openModel(encoderFixture('roberta-masked'));
    expect(summary.warnings).toEqual([]);
    expect(summary).toMatchObject({ vocabularySize: 64, maxPositions: 38, tiedHead: true });
    const plain = await openModel(encoderFixture('bert-plain'));
    expect(plain.summary.maxPositions).toBe(40);
    expect(plain.output).toMatchObject({ name: 'last_hidden_state', givesScores: false });
    const image = (await openModel(encoderFixture('vit-plain'))).summary;
    expect(image.vocabularySize).toBeUndefined();
    expect(image.maxPositions).toBeUndefined();
    expect(image.sublayers.every(({ kvBytesPerToken }) => kvBytesPerToken === 0)).toBe(true);
  });

  it('returns its hidden states if config.json names an unknown head', async () => {
    const folder = await withConfig('bert-masked', { architectures: ['BertForPreTraining'] });
    const { output, summary } = await openModel(folder);
    expect(output.givesScores).toBe(false);
    expect(summary.warnings.map(inEnglish)[0]).toMatch(/5 tensors .* \(such as cls\./);
  });

  it('is opened if config.json names no class, a CLIP model as its vision tower', async () => {
    const text = await openModel(await withConfig('bert-plain', { architectures: [] }));
    expect(text.output.name).toBe('last_hidden_state');
    const classes = { architectures: ['CLIPModel'] };
    const both = await openModel(await withConfig('clip-text-tower', classes));
    expect(both.inputs.map(({ name }) => name)).toEqual(['pixel_values']);
    const texts = await openModel(encoderFixture('clip-text-tower'));
    expect(texts.inputs.map(({ name }) => name)).toEqual(['input_ids', 'attention_mask']);
    expect(texts.output).toMatchObject({ name: 'text_embeds', givesScores: false });
    const images = await openModel(
      await withConfig('siglip-text-tower', { architectures: ['SiglipModel'] }),
    );
    expect(images.inputs.map(({ name }) => name)).toEqual(['pixel_values']);
  });

  it.each([
    ['bert-masked', 'add_cross_attention', true],
    ['bert-masked', 'position_embedding_type', 'relative_key'],
    ['bert-masked', 'vocab_size', undefined],
    ['jina-bert', 'feed_forward_type', 'original'],
    ['vit-classes', 'image_size', 'large'],
    ['vit-classes', 'num_attention_heads', 5],
    ['roberta-masked', 'hidden_act', 'mystery'],
  ])('%s with another %s is refused, naming it', async (name, field, value) => {
    const folder = await withConfig(name, { [field]: value });
    const { subject } = await rejection(openModel(folder));
    expect(subject).toMatchObject({ file: join(folder, 'config.json'), field });
  });

  it('of another size than its weights is refused, naming the tensor', async () => {
    const folder = await withConfig('vit-classes', { image_size: 32 });
    expect((await rejection(openModel(folder))).message).toMatch(
      /vit\.embeddings\.position_embeddings.*\[1, 10, 32\].*\[1, 17, 32\]/,
    );
  });
});
