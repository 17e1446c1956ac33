import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { writeSource } from '../../../extension/core/export/write-source';
import { layOutChanges } from '../../../extension/core/export/changes';
import { inEnglish } from '../../../extension/core/message';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { encoderFixture } from '../encoder-fixtures';
import { familyFixture, relativeError } from '../fixtures';
import { readSamples, tokenizerFile } from '../gguf-encoder-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, prune, rejection } from './pruning';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);
const ids = [[5, 20, 33, 41, 58, 30, 17, 21, 50, 11, 12, 34, 14, 51]];

/** The one .gguf file of a folder. */
const fileIn = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');

/** A copy of a folder, with other fields of config.json and further files. */
function changed(
  folder: string,
  fields: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>> = {},
): string {
  const copy = fresh();
  cpSync(folder, copy, { recursive: true });
  const config = JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8')) as object;
  writeFileSync(join(copy, 'config.json'), JSON.stringify({ ...config, ...fields }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(copy, name, '..'), { recursive: true });
    writeFileSync(join(copy, name), text);
  }
  return copy;
}

const modules = (...kinds: readonly string[]): string =>
  JSON.stringify(
    kinds.map((kind, index) => ({
      type: `sentence_transformers.models.${kind}`,
      path: index === 0 ? '' : `${index}_${kind}`,
    })),
  );

const pooled = (fields: Readonly<Record<string, boolean | string>>): Record<string, string> => ({
  'modules.json': modules('Transformer', 'Pooling', 'Normalize'),
  '1_Pooling/config.json': JSON.stringify(fields),
});

const bare = { architectures: null };

describe('a GGUF file of a folder of an encoder', () => {
  it.each([
    ['bert-plain', encoderFixture('bert-plain'), 'bert'],
    ['bert-masked', encoderFixture('bert-masked'), 'bert'],
    ['roberta-masked', encoderFixture('roberta-masked'), 'bert'],
    ['xlm-roberta', familyFixture('xlm-roberta'), 'bert'],
    ['distilbert', familyFixture('distilbert'), 'bert'],
    ['nomic_bert', familyFixture('nomic_bert'), 'nomic-bert'],
    ['nomic-published', encoderFixture('nomic-published'), 'nomic-bert'],
    ['modernbert', familyFixture('modernbert'), 'modern-bert'],
    ['jina-bert', encoderFixture('jina-bert'), 'jina-bert-v2'],
    ['neobert', encoderFixture('neobert'), 'neo-bert'],
  ])('of %s gives the last hidden states of the folder without its head', async (_, folder, of) => {
    const out = fresh();
    const { verification, loadsWith } = await prune(folder, [], out, { format: 'gguf' });
    expect(verification.relativeError).toBeLessThan(1e-5);
    const file = fileIn(out);
    const { metadata } = await readGgufHeader(file);
    expect(metadata.get('general.architecture')).toBe(of);
    expect(metadata.get(`${of}.attention.causal`)).toBe(false);
    const expected = await computeLogits(changed(folder, bare), ids);
    expect(relativeError(await computeLogits(file, ids), expected)).toBeLessThan(1e-5);
    const hasHead = (await openModel(folder)).output.givesScores;
    expect(JSON.stringify(loadsWith).includes('without its head')).toBe(hasHead);
  });

  it('has no rotary embedding of Nomic that is scaled', async () => {
    const scaled = changed(encoderFixture('nomic-published'), { rotary_scaling_factor: 2 });
    const { message } = await rejection(openModel(scaled));
    expect(message).toMatch(
      /rotary_scaling_factor: nomic_bert models with 2 here are not supported/,
    );
  });

  it('lacks the bias after MoE layers, with a warning', async () => {
    const [out, source] = [fresh(), encoderFixture('nomic-mixtures')];
    const { loadsWith, verification } = await prune(source, [], out, { format: 'gguf' });
    expect(inEnglish(loadsWith)).toContain('without their bias, which llama.cpp has no tensor for');
    expect(verification.relativeError).toBeLessThan(1e-5);
    const unbiased = changed(source, {});
    const path = join(unbiased, 'model.safetensors');
    const bytes = readFileSync(path);
    const start = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
      string,
      { data_offsets: [number, number] }
    >;
    const [from = 0, to = 0] =
      header['encoder.layers.1.mlp.experts.bias']?.data_offsets.map((at) => at + start) ?? [];
    expect(to - from).toBe(128);
    writeFileSync(path, bytes.fill(0, from, to));
    const written = await computeLogits(fileIn(out), ids);
    expect(relativeError(written, await computeLogits(unbiased, ids))).toBeLessThan(1e-5);
    expect(relativeError(written, await computeLogits(source, ids))).toBeGreaterThan(0.01);
  });

  it('needs feed-forwards as wide as experts', async () => {
    const { summary } = await openModel(encoderFixture('nomic-mixtures'));
    const widthPruned = { ...layOutChanges(summary, []), widths: { 'block.0.feedforward': 16 } };
    const { options } = writeSource(await openModelFiles(encoderFixture('nomic-mixtures')));
    const gguf = options.find(({ format }) => format === 'gguf');
    const refused = await gguf?.refuse(widthPruned);
    expect(refused && inEnglish(refused.reason)).toMatch(/MLPs with the width of the experts/);
  });

  it.each([
    [{ pooling_mode_mean_tokens: true, pooling_mode_cls_token: false }, 1],
    [{ pooling_mode_mean_tokens: false, pooling_mode_cls_token: true }, 2],
    [{ pooling_mode_lasttoken: true }, 3],
    [{ pooling_mode: 'mean', include_prompt: true }, 1],
    [{ pooling_mode: 'cls' }, 2],
    [{ pooling_mode: 'lasttoken' }, 3],
  ])('pools according to modules.json, as the folder does: %j', async (fields, number) => {
    const [out, folder] = [fresh(), changed(encoderFixture('bert-plain'), {}, pooled(fields))];
    await prune(folder, [], out, { format: 'gguf' });
    const { metadata } = await readGgufHeader(fileIn(out));
    expect(metadata.get('bert.pooling_type')).toBe(number);
    const hidden = await computeLogits(encoderFixture('bert-plain'), ids);
    const width = hidden.length / 14;
    const rows = { 1: [...Array(14).keys()], 2: [0], 3: [13] }[number] ?? [];
    const expected = Float32Array.from({ length: width }, (_, i) =>
      rows.reduce((sum, row) => sum + (hidden[row * width + i] ?? 0) / rows.length, 0),
    );
    for (const model of [fileIn(out), folder]) {
      expect(relativeError(await computeLogits(model, ids), expected)).toBeLessThan(1e-5);
    }
  });

  it('and other formats keep all hidden states of a folder that pools', async () => {
    const fields = { pooling_mode_mean_tokens: true };
    const folder = changed(encoderFixture('bert-plain'), {}, pooled(fields));
    const [onnx, pruned] = [fresh(), fresh()];
    await prune(folder, ['block.0.attention'], onnx, { format: 'onnx' });
    expect((await openModel(onnx)).output.name).toBe('last_hidden_state');
    await prune(folder, ['block.0.attention'], pruned);
    expect((await openModel(pruned)).output.name).toBe('sentence_embedding');
    const odd = changed(
      encoderFixture('bert-plain'),
      {},
      pooled({ pooling_mode_max_tokens: true }),
    );
    expect((await openModel(odd)).output.name).toBe('last_hidden_state');
  });

  it.each([
    [
      pooled({ pooling_mode_max_tokens: true }),
      /1_Pooling.config\.json: pooling_mode_max_tokens: llama\.cpp supports pooling by/,
    ],
    [
      pooled({ pooling_mode: 'max' }),
      /1_Pooling.config\.json: pooling_mode: llama\.cpp supports pooling by/,
    ],
    [
      pooled({ pooling_mode_mean_tokens: false }),
      /1_Pooling.config\.json: pooling_mode_mean_tokens: llama\.cpp supports pooling by/,
    ],
    [
      { 'modules.json': modules('Transformer', 'Pooling') },
      /1_Pooling.config\.json: The file that defines the pooling is missing/,
    ],
    [
      {
        ...pooled({ pooling_mode_cls_token: true }),
        'modules.json': modules('Transformer', 'Pooling', 'Dense', 'Normalize'),
      },
      /2_Dense.config\.json: A file of the module is missing/,
    ],
    [
      {
        ...pooled({ pooling_mode_cls_token: true }),
        'modules.json': modules('Transformer', 'Pooling', 'Dense'),
        '2_Dense/config.json': JSON.stringify({ activation_function: 'torch.nn.Tanh' }),
        '2_Dense/pytorch_model.bin': '',
      },
      /2_Dense.pytorch_model\.bin: The module's weights .* Save the module as model\.safetensors/,
    ],
    [
      {
        ...pooled({ pooling_mode_cls_token: true }),
        'modules.json': modules('Transformer', 'Pooling', 'Dense'),
        '2_Dense/config.json': JSON.stringify({ activation_function: 'torch.nn.Mystery' }),
        '2_Dense/model.safetensors': '',
      },
      /2_Dense.config\.json: activation_function: The module can't run with "torch\.nn\.Mystery"/,
    ],
    [
      { 'modules.json': modules('Transformer', 'Dense') },
      /modules\.json: \[1\]\.type: GGUF files can't store "Dense" modules/,
    ],
    [
      { 'modules.json': modules('Transformer', 'Pooling', 'Normalize', 'Dense') },
      /modules\.json: \[3\]\.type: GGUF files can't store "Dense" modules/,
    ],
  ])('is refused for features that llama.cpp lacks: %j', async (files, expected) => {
    const folder = changed(encoderFixture('bert-plain'), {}, files);
    const { message } = await rejection(prune(folder, [], fresh(), { format: 'gguf' }));
    expect(message).toMatch(expected);
    const { output, summary } = await openModel(folder);
    expect(output.name).toBe('last_hidden_state');
    expect(summary.warnings.map(inEnglish)).toEqual([
      expect.stringMatching(/^Distances are of all hidden states, not of pooled embeddings\. .+: /),
    ]);
  });

  it('has the linear layers after the pooling of EmbeddingGemma, like the folder', async () => {
    const folder = encoderFixture('gemma3-embedding');
    const removed = ['block.0.attention', 'block.0.feedforward'];
    const [expected, fewer] = [
      await computeLogits(folder, ids),
      await computeLogits(folder, ids, removed),
    ];
    for (const [gone, output] of [
      [[], expected],
      [removed, fewer],
    ] as const) {
      const out = fresh();
      const { parametersAfter } = await prune(folder, gone, out, { format: 'gguf' });
      expect(parametersAfter).toBe((await openModel(fileIn(out))).summary.parameters);
      const { metadata } = await readGgufHeader(fileIn(out));
      expect(metadata.get('general.architecture')).toBe('gemma-embedding');
      expect(metadata.get('gemma-embedding.attention.sliding_window')).toBe(8);
      expect(metadata.get('gemma-embedding.dense_2_feat_out')).toBe(48);
      expect(relativeError(await computeLogits(fileIn(out), ids), output)).toBeLessThan(1e-5);
    }
    const pruned = fresh();
    await prune(folder, ['block.1.attention'], pruned);
    expect(readdirSync(join(pruned, '3_Dense'))).toEqual(['config.json', 'model.safetensors']);
    const without = await computeLogits(folder, ids, ['block.1.attention']);
    expect(relativeError(await computeLogits(pruned, ids), without)).toBeLessThan(1e-5);
  });

  it("is rejected if it has linear layers after the pooling that llama.cpp doesn't read", async () => {
    const others = await rejection(
      prune(encoderFixture('bert-dense'), [], fresh(), { format: 'gguf' }),
    );
    const { options } = writeSource(await openModelFiles(encoderFixture('bert-dense')));
    const file = options.find(({ format }) => format === 'gguf');
    const { summary } = await openModel(encoderFixture('bert-dense'));
    expect(await file?.refuse(layOutChanges(summary, []))).toMatchObject({
      ...{ code: 'not-in-gguf', field: '2_Dense' },
    });
    expect(others.message).toMatch(
      /modules\.json: 2_Dense: GGUF files of bert models can't store linear layers after the pooling/,
    );
    const one = changed(
      encoderFixture('gemma3-embedding'),
      {},
      { 'modules.json': modules('Transformer', 'Pooling', 'Dense') },
    );
    const { message } = await rejection(prune(one, [], fresh(), { format: 'gguf' }));
    expect(message).toMatch(/2_Dense: llama\.cpp runs two linear layers after the pooling/);
  });

  it('is refused for classes, and for both directions that are one', async () => {
    const classes = await rejection(
      prune(encoderFixture('bert-classes'), [], fresh(), { format: 'gguf' }),
    );
    expect(classes.message).toMatch(/GGUF files store encoders for embeddings, not classifiers/);
    const causal = changed(encoderFixture('bert-plain'), { is_decoder: true });
    const { message } = await rejection(prune(causal, [], fresh(), { format: 'gguf' }));
    expect(message).toMatch(/is_decoder: llama\.cpp runs bert models with false here, not true/);
  });

  it('of gte and of images is refused', async () => {
    for (const folder of [familyFixture('gte'), encoderFixture('vit-plain')]) {
      const { message } = await rejection(prune(folder, [], fresh(), { format: 'gguf' }));
      expect(message).toMatch(/models can't be written to GGUF files/);
    }
  });

  it.each([
    [
      'word-piece',
      { cls_token: '[CLS]', sep_token: '[SEP]', pad_token: '[PAD]', unk_token: '[UNK]' },
    ],
    ['word-piece-cased', { cls_token: '[CLS]', sep_token: '[SEP]', unk_token: '[UNK]' }],
    ['unigram', { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' }],
  ])('keeps the tokenizer %s', async (kind, special) => {
    const folder = changed(
      encoderFixture('bert-plain'),
      {},
      {
        'tokenizer.json': readFileSync(tokenizerFile(kind), 'utf8'),
        'tokenizer_config.json': JSON.stringify(special),
      },
    );
    const out = fresh();
    await prune(folder, [], out, { format: 'gguf' });
    const file = fileIn(out);
    const { metadata } = await readGgufHeader(file);
    expect(metadata.get('tokenizer.ggml.model')).toBe(kind === 'unigram' ? 't5' : 'bert');
    const tokenizer = await loadTokenizer(file);
    for (const { text, ids: expected } of readSamples(kind)) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, expected]);
    }
  });

  it('is refused with words divided otherwise than BERT does', async () => {
    const tokenizer = JSON.parse(readFileSync(tokenizerFile('word-piece'), 'utf8')) as object;
    const folder = changed(
      encoderFixture('bert-plain'),
      {},
      {
        'tokenizer.json': JSON.stringify({ ...tokenizer, pre_tokenizer: { type: 'Whitespace' } }),
      },
    );
    const { message } = await rejection(prune(folder, [], fresh(), { format: 'gguf' }));
    expect(message).toMatch(
      /tokenizer\.json: normalizer: llama\.cpp splits texts into words only as BERT does/,
    );
  });

  it.each([
    ['modernbert', familyFixture('modernbert')],
    ['neobert', encoderFixture('neobert')],
  ])('of %s is written without a block, and without any of its tensors', async (_, folder) => {
    const { blocks } = (await openModel(folder)).summary;
    const removed = [`block.${blocks - 1}.attention`, `block.${blocks - 1}.feedforward`];
    const out = fresh();
    await prune(folder, removed, out, { format: 'gguf' });
    const expected = await computeLogits(changed(folder, bare), ids, removed);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
  });
});
