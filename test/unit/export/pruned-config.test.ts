import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encoderArchitectures } from '../../../extension/core/models/encoders/encoder-architectures';
import { seq2seqFamilies } from '../../../extension/core/models/seq2seq/seq2seq-families';
import { stagedFamilies } from '../../../extension/core/models/stages/staged-families';
import { classNames } from '../../../extension/core/models/stages/staged-family';
import { architectures } from '../../../extension/core/models/transformer/architectures';
import type { ModelSummary, SublayerKind } from '../../../extension/core/models/model-summary';
import { modelingClasses } from '../../../extension/core/export/hugging-face/modeling-classes';
import { modelingFile } from '../../../extension/core/export/hugging-face/modeling-file';
import { previewPrunedConfig } from '../../../extension/core/export/preview-file';
import {
  describeLoading,
  rewriteConfig,
} from '../../../extension/core/export/hugging-face/pruned-config';
import { checkChanges, layOutChanges } from '../../../extension/core/export/changes';
import type { BlockSelection } from '../../../extension/core/export/hugging-face/pruned-config';
import { explainNoModelingFile } from '../../../extension/core/export/hugging-face/why-no-modeling-file';
import type { PatchSpec } from '../../../extension/core/models/patch/symbolic-patch';
import { encoderFixture } from '../encoder-fixtures';
import { decoderIn, namedSource, parsedSource } from '../config-source';
import { caseNames, familyFixture, fixture } from '../fixtures';
import { inEnglish } from '../../../extension/core/message';

const readSummary = (blocks: number, architecture = 'llama'): ModelSummary => ({
  name: 'model',
  path: '/models/model',
  architecture,
  parameters: 0,
  bytes: 0,
  dtypes: {},
  blocks,
  hiddenSize: 8,
  vocabularySize: 8,
  maxPositions: 8,
  tiedHead: false,
  sublayers: Array.from({ length: blocks }, (_, block) =>
    (['attention', 'feedforward'] as const).map((kind: SublayerKind) => ({
      id: `block.${block}.${kind}`,
      block,
      kind,
      parameters: 0,
      bytes: 0,
      flopsPerToken: 0,
      kvBytesPerToken: 0,
    })),
  ).flat(),
  fingerprint: '',
  warnings: [],
});

const configText = (name: string): string => readFileSync(fixture(name, 'config.json'), 'utf8');

describe('config.json of a pruned model', () => {
  it('changes one line if whole blocks are removed', () => {
    const text = configText('llama-gqa-untied');
    const removed = ['block.1.attention', 'block.1.feedforward'];
    const preview = previewPrunedConfig(text, removed, readSummary(4));
    expect(preview.before).toBe(text);
    expect(preview.after).toBe(text.replace('"num_hidden_layers": 4', '"num_hidden_layers": 3'));
    expect(inEnglish(preview.loadsWith)).toContain('llama');
    expect(inEnglish(preview.loadsWith)).not.toContain('trust_remote_code');
  });

  it('lists the kinds of blocks in the field of the family, and in no other', () => {
    const at = (hybrid: readonly number[], count: number): string[] =>
      Array.from({ length: count }, (_, i) => (hybrid.includes(i) ? 'hybrid' : 'linear_attention'));
    const config = {
      ...{ model_type: 'zamba2', num_hidden_layers: 12 },
      layers_block_type: at([5, 11], 12),
    };
    const blocks = Array.from({ length: 11 }, (_, block) => block + 1);
    expect(
      JSON.parse(rewriteConfig(namedSource(JSON.stringify(config)), { blocks, absent: [] })),
    ).toEqual({
      ...{ model_type: 'zamba2', num_hidden_layers: 11 },
      layers_block_type: at([4, 10], 11),
    });
  });

  it('keeps all other fields, their order and format if single sublayers are removed', () => {
    const text = configText('qwen3');
    const { after, loadsWith } = previewPrunedConfig(text, ['block.3.attention'], readSummary(4));
    const changed: unknown = JSON.parse(after);
    expect(changed).toEqual({
      ...(JSON.parse(text) as object),
      model_type: 'espalier-qwen3',
      architectures: ['EspalierQwen3ForCausalLM'],
      auto_map: {
        AutoConfig: 'modeling_espalier.EspalierQwen3Config',
        AutoModelForCausalLM: 'modeling_espalier.EspalierQwen3ForCausalLM',
      },
      espalier: { version: 1, removed: ['block.3.attention'] },
    });
    expect(Object.keys(changed as object).slice(0, -2)).toEqual(
      Object.keys(JSON.parse(text) as object),
    );
    expect(inEnglish(loadsWith)).toContain('trust_remote_code=True');
    const removedLines = text.split('\n').filter((line) => !after.includes(line.replace(/,$/, '')));
    expect(removedLines).toHaveLength(2);
  });

  it.each([
    ['neobert', /from_pretrained\(folder, trust_remote_code=True\), with the class that auto_map/],
    ['jina-bert', /^transformers, with the model's own code: config\.json has no auto_map/],
  ])('reports that %s loads with code outside transformers', (name, said) => {
    const text = readFileSync(encoderFixture(name, 'config.json'), 'utf8');
    expect(inEnglish(describeLoading(namedSource(text), false))).toMatch(said);
  });

  it('keeps the text if nothing is removed', () => {
    for (const name of caseNames) {
      const text = configText(name);
      const config = JSON.parse(text) as { num_hidden_layers?: number; n_layer?: number };
      const blocks = config.num_hidden_layers ?? config.n_layer ?? 0;
      const { before, after } = previewPrunedConfig(text, [], readSummary(blocks));
      expect(before).toBe(text);
      expect(after).toBe(text);
    }
  });

  it('writes one field per line if the source has one line', () => {
    const text = '{"model_type":"llama","num_hidden_layers":2}';
    const removed = ['block.0.attention', 'block.0.feedforward'];
    const { before, after } = previewPrunedConfig(text, removed, readSummary(2));
    expect(before).toBe('{\n  "model_type": "llama",\n  "num_hidden_layers": 2\n}');
    expect(after).toBe(before.replace('2\n', '1\n'));
    expect(rewriteConfig(namedSource(text), { blocks: [1], absent: [] })).toBe(
      text.replace('2}', '1}'),
    );
  });

  it('shortens lists with an entry per block, and no others', () => {
    const text = JSON.stringify({
      model_type: 'qwen2',
      num_hidden_layers: 3,
      layer_types: ['full_attention', 'sliding_attention', 'full_attention'],
      no_rope_layers: [1, 2, 3],
      short_factor: [1, 2, 3],
      eos_token_id: [1, 2, 3],
    });
    expect(JSON.parse(rewriteConfig(namedSource(text), { blocks: [0, 2], absent: [] }))).toEqual({
      model_type: 'qwen2',
      num_hidden_layers: 2,
      layer_types: ['full_attention', 'full_attention'],
      no_rope_layers: [1, 3],
      short_factor: [1, 2, 3],
      eos_token_id: [1, 2, 3],
    });
  });

  it.each([
    [{ max_window_layers: 2 }, [0, 2, 3], 1],
    [{ max_window_layers: 2 }, [2, 3], 0],
    [{ max_window_layers: 2, use_sliding_window: true }, [0, 1, 3], 2],
    [{ max_window_layers: 28, use_sliding_window: true }, [0, 1], 28],
    [{}, [0, 1], undefined],
  ])('with %j and blocks %j windows begin at %s', (fields, blocks, expected) => {
    const text = JSON.stringify({ model_type: 'qwen2', num_hidden_layers: 4, ...fields });
    expect(JSON.parse(rewriteConfig(namedSource(text), { blocks, absent: [] }))).toMatchObject(
      expected === undefined ? {} : { max_window_layers: expected },
    );
  });

  it('writes the position of the first window if the source uses the default', () => {
    const text = JSON.stringify({
      model_type: 'qwen2',
      num_hidden_layers: 30,
      use_sliding_window: true,
    });
    const blocks = Array.from({ length: 29 }, (_, block) => block + 1);
    expect(JSON.parse(rewriteConfig(namedSource(text), { blocks, absent: [] }))).toMatchObject({
      max_window_layers: 27,
    });
  });

  it('writes layer types if they were derived from a number that changes', () => {
    const text = JSON.stringify({ model_type: 'gemma2', num_hidden_layers: 4 });
    const rewrite = (blocks: readonly number[]): unknown =>
      JSON.parse(rewriteConfig(namedSource(text), { blocks, absent: [] }));
    expect(rewrite([0, 1])).toEqual({ model_type: 'gemma2', num_hidden_layers: 2 });
    expect(rewrite([1, 2, 3])).toMatchObject({
      layer_types: ['full_attention', 'sliding_attention', 'full_attention'],
    });
  });

  it('updates the list of blocks without experts when block numbers change', () => {
    const text = JSON.stringify({
      model_type: 'qwen3_moe',
      num_hidden_layers: 6,
      decoder_sparse_step: 2,
      mlp_only_layers: [5],
    });
    const rewrite = (blocks: readonly number[]): unknown =>
      JSON.parse(rewriteConfig(namedSource(text), { blocks, absent: [] }));
    expect(rewrite([0, 1, 2, 3])).toMatchObject({ decoder_sparse_step: 2, mlp_only_layers: [5] });
    expect(rewrite([1, 2, 3, 5])).toMatchObject({
      decoder_sparse_step: 1,
      mlp_only_layers: [1, 3],
    });
  });

  it('changes the field that the family counts its blocks in', () => {
    const text = JSON.stringify({ model_type: 'gpt2', n_layer: 3 });
    expect(JSON.parse(rewriteConfig(namedSource(text), { blocks: [0, 2], absent: [] }))).toEqual({
      model_type: 'gpt2',
      n_layer: 2,
    });
  });

  it.each([
    [
      { model_type: 'exaone', num_layers: 3, num_hidden_layers: 3 },
      { num_layers: 2, num_hidden_layers: 2 },
    ],
    [
      {
        model_type: 'bart',
        is_encoder_decoder: false,
        decoder_layers: 3,
        encoder_layers: 4,
        num_hidden_layers: 4,
      },
      { decoder_layers: 2, encoder_layers: 4, num_hidden_layers: 4 },
    ],
  ])('changes num_hidden_layers too if it counts the same blocks: %j', (config, expected) => {
    const text = rewriteConfig(namedSource(JSON.stringify(config)), { blocks: [0, 2], absent: [] });
    expect(JSON.parse(text)).toEqual({ ...config, ...expected });
  });

  it('keeps per-block settings with their blocks', () => {
    const fields = { model_type: 'llama', num_hidden_layers: 3 };
    const text = JSON.stringify({ ...fields, per_layer_config: { 1: { a: 1 }, 2: { a: 2 } } });
    expect(JSON.parse(rewriteConfig(namedSource(text), { blocks: [0, 2], absent: [] }))).toEqual({
      ...fields,
      num_hidden_layers: 2,
      per_layer_config: { 1: { a: 2 } },
    });
  });

  it('replaces only the classes of an auto_map, and takes only its own back', () => {
    const text = JSON.stringify({
      model_type: 'phi3',
      num_hidden_layers: 2,
      auto_map: { AutoModel: 'modeling_phi3.Phi3Model', AutoTokenizer: ['tokenization.Own', null] },
    });
    const pruned = rewriteConfig(namedSource(text), {
      blocks: [0, 1],
      absent: ['block.0.attention'],
    });
    expect(JSON.parse(pruned)).toMatchObject({
      auto_map: {
        AutoConfig: 'modeling_espalier.EspalierPhi3Config',
        AutoModelForCausalLM: 'modeling_espalier.EspalierPhi3ForCausalLM',
        AutoTokenizer: ['tokenization.Own', null],
      },
    });
    expect(pruned).not.toContain('modeling_phi3');
    expect(JSON.parse(rewriteConfig(namedSource(pruned), { blocks: [1], absent: [] }))).toEqual({
      model_type: 'phi3',
      num_hidden_layers: 1,
      architectures: ['Phi3ForCausalLM'],
      auto_map: { AutoTokenizer: ['tokenization.Own', null] },
    });
    const untouched = rewriteConfig(namedSource(text), { blocks: [1], absent: [] });
    expect(untouched).toContain('modeling_phi3');
  });

  it('keeps tabs and Windows line ends', () => {
    const text = '{\r\n\t"model_type": "llama",\r\n\t"num_hidden_layers": 2\r\n}\r\n';
    const after = rewriteConfig(namedSource(text), {
      blocks: [0, 1],
      absent: ['block.1.attention'],
    });
    expect(after).not.toMatch(/[^\r]\n/);
    expect(after).toContain('\r\n\t"espalier": {\r\n\t\t"version": 1,');
  });
});

/** Names of classes in transformers, written by tiny_models.py: of some tasks there are two. */
interface Classes extends Partial<Record<'config' | 'causal' | 'masked' | 'tower', string>> {
  readonly image?: string | readonly string[];
}

const transformersClasses = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/classes.json'), 'utf8'),
) as Record<string, Classes>;

const noNeeds = { compressed: {}, patched: {}, widths: {} };

describe('the modeling file', () => {
  // Classes of nemotron-nas come with its folders, not with transformers; see layouts. The others are text towers alone.
  const towers = ['qwen2_vl_text', 'qwen2_5_vl_text', 'qwen3_vl_text', 'glm4v_text'];
  const others = new Set(['nemotron-nas', ...towers]);
  const stock = architectures.filter(({ modelType }) => !others.has(modelType));
  it.each(stock)('names the classes that transformers has for $modelType', (family) => {
    const { modelType } = family;
    const named = { model_type: modelType };
    const { stockModel, model, config } = modelingClasses(
      { kind: 'decoder', architecture: family },
      named,
    );
    const classes = transformersClasses[modelType];
    // Mistral 4 is found among the models that read images too.
    expect(stockModel).toBe(classes?.causal ?? classes?.tower);
    const text = modelingFile(family, named, noNeeds);
    expect(text).toContain(`class ${model}(${stockModel}):`);
    expect(text).toContain(`class ${config}(${classes?.config ?? ''}):`);
    expect(text).toContain(`model_type = "espalier-${modelType}"`);
  });

  // Text towers are models of no task that transformers lists.
  const textTowers = ['clip_text_model', 'siglip_text_model', 'metaclip_2_text_model'];
  const stockEncoders = encoderArchitectures.filter(
    ({ otherModules, modelType }) => otherModules === undefined && !textTowers.includes(modelType),
  );
  it.each(stockEncoders)('names those of $modelType', (family) => {
    const { modelType, classes, heads, matchingFields } = family;
    const { config, ...models } = transformersClasses[modelType] ?? {};
    expect(classes.config).toBe(config);
    expect(Object.values(models).flat()).toEqual(
      expect.arrayContaining(heads.map((head) => head.class)),
    );
    expect(heads.map((head) => head.class)).toEqual(
      expect.arrayContaining(
        // If config.json distinguishes encoder and decoder, this is the decoder's.
        [
          models.masked,
          matchingFields === undefined ? models.causal : undefined,
          [models.image].flat()[0],
        ].filter((name) => name !== undefined),
      ),
    );
  });

  it.each(seq2seqFamilies)('names those of the encoder–decoder $modelType', (family) => {
    const { modelType, classes, auto } = family;
    expect(classes.config).toBe(transformersClasses[modelType]?.config);
    expect(modelingClasses({ kind: 'encoder-decoder', architecture: family }, {})).toMatchObject({
      stockConfig: classes.config,
      stockModel: classes.head,
      autoModels: [auto],
    });
    const plain = { architectures: [`Espalier${classes.model}`] };
    const { stockModel } = modelingClasses(
      { kind: 'encoder-decoder', architecture: family },
      plain,
    );
    expect(stockModel).toBe(classes.model);
  });

  it.each(stagedFamilies)('names the classes of $modelType', (family) => {
    const classes = classNames(family);
    const { modelType } = family;
    const { config, image } = transformersClasses[modelType] ?? {};
    expect(classes).toMatchObject({ config, head: image });
    const written = { architectures: [`Espalier${classes.head}`] };
    expect(modelingClasses({ kind: 'stages', architecture: family }, written)).toMatchObject({
      stockModel: classes.head,
      autoModels: ['AutoModelForImageClassification'],
    });
  });

  it.each([
    ['gpt2', 'self.transformer.h', ['ln_1', 'attn', 'ln_2', 'mlp'], 'attn'],
    [
      'opt',
      'self.model.decoder.layers',
      ['self_attn_layer_norm', 'self_attn', 'final_layer_norm', 'fc1', 'fc2'],
      'self_attn',
    ],
    [
      'olmo2',
      'self.model.layers',
      ['post_attention_layernorm', 'self_attn', 'post_feedforward_layernorm', 'mlp'],
      'self_attn',
    ],
    [
      'gpt-neox',
      'self.gpt_neox.layers',
      ['input_layernorm', 'attention', 'post_attention_layernorm', 'mlp'],
      'attention',
    ],
    ['phi', 'self.model.layers', ['self_attn', 'mlp'], 'self_attn'],
    ['falcon', 'self.transformer.h', ['self_attention', 'mlp'], 'self_attention'],
    [
      'falcon-new',
      'self.transformer.h',
      ['ln_attn', 'self_attention', 'ln_mlp', 'mlp'],
      'self_attention',
    ],
  ])('replaces the modules of %s', (name, layers, modules, attention) => {
    const { architecture } = decoderIn(configText(name), name);
    const text = modelingFile(architecture, { model_type: architecture.modelType }, noNeeds);
    expect(text).toContain(`enumerate(${layers}):`);
    expect(text).toContain(`layer.${attention}.layer_idx = caches`);
    const replaced = [...text.matchAll(/layer\.(\w+) = (?:nn|No)/g)].map(([, name]) => name);
    expect(replaced).toEqual(modules);
  });

  it('lets a graph module return a pair if the attention does', () => {
    const text = (name: string): string => {
      const config = readFileSync(familyFixture(name, 'config.json'), 'utf8');
      const { architecture } = decoderIn(config, name);
      const patched = { 'block.0.mixer': {} as PatchSpec };
      const named = { model_type: architecture.modelType };
      return modelingFile(architecture, named, { ...noNeeds, patched });
    };
    expect(text('recurrent_gemma')).toContain('layer.temporal_block = AttentionPatch(spec');
    expect(text('lfm2')).toContain('layer.conv = Patch(spec');
  });

  it('refuses a graph module if the family multiplies the stream', () => {
    const config = readFileSync(familyFixture('minimax', 'config.json'), 'utf8');
    const changes = layOutChanges(readSummary(2), []);
    const why = (patched: BlockSelection['patched'] = {}): unknown =>
      explainNoModelingFile(parsedSource(config), { ...changes, patched });
    expect(why()).toBeUndefined();
    expect(why({ 'block.1.attention': {} as PatchSpec })).toMatchObject({
      code: 'no-modeling-file',
    });
  });
});

describe('a removal', () => {
  it('suggests ids similar to an unknown one', () => {
    expect(() => checkChanges(readSummary(4), ['block.1.atention'])).toFailWith({
      code: 'sublayer-unknown',
      file: 'model',
      field: 'block.1.atention',
      remedy: /block\.1\.attention/,
    });
    expect(() => checkChanges(readSummary(4), ['block.9.attention'])).toFailWith({
      code: 'sublayer-unknown',
      file: 'model',
      field: 'block.9.attention',
      remedy: /from 0 to 3/,
    });
  });

  it('reports a sublayer that was removed already', () => {
    const summary = readSummary(2);
    const pruned = {
      ...summary,
      sublayers: summary.sublayers.slice(1),
      absent: ['block.0.attention'],
    };
    expect(() => checkChanges(pruned, ['block.0.attention'])).toFailWith({
      code: 'sublayer-already-absent',
      file: 'model',
      field: 'block.0.attention',
    });
  });

  it('refuses to remove everything', () => {
    const summary = readSummary(2);
    const everything = summary.sublayers.map(({ id }) => id);
    expect(() => checkChanges(summary, everything)).toFailWith({
      code: 'sublayers-all-removed',
      file: 'model',
      field: 'remove',
    });
  });

  it('uses the kinds of the original blocks, also for parts that were absent before', () => {
    const summary = readSummary(3);
    const mixed = {
      ...summary,
      absent: ['block.2.expert'],
      sublayers: summary.sublayers.slice(0, -1),
    };
    const { absent, blocks } = checkChanges(mixed, ['block.0.attention', 'block.0.feedforward']);
    expect(blocks).toEqual([1, 2]);
    expect(absent).toEqual(['block.1.expert']);
  });

  it('counts an id once and sorts ids by the model', () => {
    const asked = ['block.1.attention', 'block.0.feedforward', 'block.1.attention'];
    const { removed, absent, blocks } = checkChanges(readSummary(2), asked);
    expect(removed).toEqual(['block.0.feedforward', 'block.1.attention']);
    expect(absent).toEqual(removed);
    expect(blocks).toEqual([0, 1]);
  });
});
