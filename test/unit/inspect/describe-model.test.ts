import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeModel } from '../../../extension/core/inspect/describe-model';
import { describedCacheBytes } from '../../../extension/core/inspect/footprint';
import { memoryAt } from '../../../extension/core/models/model-summary';
import { elementCount } from '../../../extension/core/checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import type {
  ModelDescription,
  StoredTensor,
} from '../../../extension/core/inspect/model-description';
import { openOnnxModel } from '../../../extension/core/models/onnx/onnx-model';
import { openModel } from '../../../extension/core/models/open-model';
import { writeSafetensorsFile } from '../checkpoints/safetensors-file';
import { encoderFixture, encoderNames, textTowers } from '../encoder-fixtures';
import { caseNames, fixture } from '../fixtures';
import { onnxCases, onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
const ggufFolder = join(import.meta.dirname, '../../fixtures/gguf');

function readTensors(model: ModelDescription): string[] {
  const blockSum = model.blocks.flatMap(({ sublayers }) => sublayers);
  return [...blockSum, ...model.parts].flatMap(({ tensors }) => tensors.map(({ name }) => name));
}

/** True if a tensor is another one or a part of it, such as an expert of a stack. */
function holds({ file, offset = 0, bytes }: StoredTensor, part: LazyTensor): boolean {
  return part.file === file && part.offset >= offset && part.offset < offset + Math.max(1, bytes);
}

/** A folder whose weights have these names and shapes, all float32. */
function makeModel(
  name: string,
  shapes: Readonly<Record<string, readonly number[]>>,
  config?: object,
): string {
  const path = join(folder, name);
  mkdirSync(path);
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(shapes).map(([tensor, shape]) => {
      const begin = end;
      end += 4 * shape.reduce((product, size) => product * size, 1);
      return [tensor, { dtype: 'F32', shape, data_offsets: [begin, end] }];
    }),
  );
  writeSafetensorsFile(join(path, 'model.safetensors'), header, end);
  if (config !== undefined) {
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
  }
  return path;
}

describe('models that can be run', () => {
  it.each(caseNames)(
    '%s: every tensor has one place, and the sums are the model’s',
    async (name) => {
      const model = await describeModel(fixture(name));
      const opened = await openModel(fixture(name));
      const { summary } = opened;
      const names = readTensors(model);
      expect(new Set(names).size).toBe(names.length);
      expect(names).toHaveLength(model.totals.tensors);
      expect(model.totals.bytes).toBe(summary.bytes);
      const sublayers = model.blocks.flatMap((block) => block.sublayers);
      for (const [index, known] of summary.sublayers.entries()) {
        const { flopsPerToken, kvBytesPerToken } = known;
        const own = sublayers.find(({ id }) => id === known.id);
        expect(own).toMatchObject({ flopsPerToken, kvBytesPerToken });
        expect(own?.kvWindow).toBe(known.kvWindow);
        // Norms that parallel branches share are listed with the first of them.
        const upTo = sublayers.slice(0, sublayers.findIndex(({ id }) => id === known.id) + 1);
        const listed = upTo.flatMap(({ tensors }) => tensors);
        const used = opened.sublayer(index).tensors;
        expect(used.filter((one) => !listed.some((tensor) => holds(tensor, one)))).toEqual([]);
      }
      expect(model.understood).toEqual({ by: 'architecture', reason: undefined });
      expect(model.parts.map(({ part }) => part)).toContain('embedding');
    },
  );

  it.each(caseNames)("%s: the cache size from shapes equals the architecture's", async (name) => {
    const { blocks, dtypes } = await describeModel(fixture(name));
    const [dtype = ''] = Object.keys(dtypes);
    const bytes = dtype === 'F32' ? 4 : 2;
    for (const sublayer of blocks.flatMap((block) => block.sublayers)) {
      expect((sublayer.kvElementsPerToken ?? Number.NaN) * bytes).toBe(sublayer.kvBytesPerToken);
    }
  });

  it.each(['mistral-plain', 'mistral-sliding', 'gemma3-text'])(
    '%s: memory of keys and values equals the size at a context length',
    async (name) => {
      const model = await describeModel(fixture(name));
      const { summary } = await openModel(fixture(name));
      for (const tokens of [1, 1000]) {
        const expected = memoryAt(summary, tokens) - summary.bytes;
        expect(describedCacheBytes(model, tokens)).toBe(expected);
      }
      const stored = model.cache.find(
        ({ bytesPerThousandTokens: bytes }) => bytes === memoryAt(summary, 1000) - summary.bytes,
      );
      expect(stored).toBeDefined();
    },
  );

  it.each(encoderNames)('%s: every tensor has one place, and nothing is cached', async (name) => {
    const model = await describeModel(encoderFixture(name));
    const opened = await openModel(encoderFixture(name));
    const { summary } = opened;
    const names = readTensors(model);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toHaveLength(model.totals.tensors);
    const all = model.blocks.flatMap((block) => block.sublayers);
    // The other tower of two is shown after the one that is run.
    const sublayers = all.filter(({ id }) => id.startsWith('block.'));
    expect(all.length - sublayers.length).toBe(textTowers.includes(name) ? 3 : 0);
    expect(sublayers.map(({ id }) => id)).toEqual(summary.sublayers.map(({ id }) => id));
    const countParts = (tensors: readonly { readonly shape: readonly number[] }[]): number =>
      tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(sublayers.map(({ parameters }) => parameters)).toEqual(
      summary.sublayers.map(({ parameters }, i) => {
        // Norms that stay are listed with their sublayer, and what all blocks share with the first.
        const { sharedByBlocks = [] } = opened.blockNames ?? {};
        const shared = sublayers[i]?.tensors.filter(({ name }) => sharedByBlocks.includes(name));
        return (
          parameters + countParts(opened.sublayer(i).stayingTensors) + countParts(shared ?? [])
        );
      }),
    );
    expect(sublayers.every(({ kvElementsPerToken }) => kvElementsPerToken === 0)).toBe(true);
  });

  it('finds an adapter in a folder below', async () => {
    const path = makeModel('adapted', { 'model.layers.0.mlp.up_proj.weight': [4, 4] });
    mkdirSync(join(path, 'lora'));
    const config = { peft_type: 'LORA', r: 8, lora_alpha: 16, base_model_name_or_path: 'base' };
    writeFileSync(join(path, 'lora', 'adapter_config.json'), JSON.stringify(config));
    const { sideFiles } = await describeModel(path);
    expect(sideFiles).toMatchObject([
      {
        name: join('lora', 'adapter_config.json'),
        role: 'adapter',
        facts: { peft_type: 'LORA', r: '8', base_model_name_or_path: 'base' },
      },
    ]);
  });

  it('reads heads and vocabulary from a graph without a config.json', async () => {
    const genai = await describeModel(onnxFixture('llama-genai'));
    expect(genai.facts).toMatchObject({ heads: 2, keyValueHeads: 1, vocabularySize: 48 });
    const past = await describeModel(onnxFixture('gpt2-past'));
    expect(past.facts).toMatchObject({ keyValueHeads: 4, headSize: 4 });
  });

  it('returns the kind of model and its inputs', async () => {
    const model = await describeModel(fixture('llama-gqa-untied'));
    expect(model.facts).toMatchObject({
      hiddenSize: 48,
      heads: 4,
      keyValueHeads: 2,
      headSize: 12,
      tiedHead: false,
    });
    const { parameters } = model.totals;
    expect(model.memory).toEqual([
      { dtype: 'float32', bytes: 4 * parameters },
      { dtype: 'bfloat16', bytes: 2 * parameters },
      { dtype: 'int8', bytes: parameters },
      { dtype: 'int4', bytes: parameters / 2 },
    ]);
    // 4 blocks keep keys and values of 2 heads of 12.
    const elements = 4 * 2 * 2 * 12;
    expect(model.cache.map((row) => row.bytesPerThousandTokens)).toEqual([
      4000 * elements,
      2000 * elements,
      1000 * elements,
    ]);
    expect(model.composition.reduce((sum, part) => sum + part.parameters, 0)).toBe(parameters);
    expect(model.totals.activeParameters).toBe(parameters);
    const head = model.parts.find(({ part }) => part === 'head');
    expect(head?.flopsPerToken).toBe(2 * 48 * (model.facts.vocabularySize ?? 0));
  });

  it('a tied head has the cost of a separate one', async () => {
    const { facts, blocks, totals } = await describeModel(fixture('qwen2'));
    const { hiddenSize = 0, vocabularySize = 0 } = facts;
    const blockSum = blocks
      .flatMap(({ sublayers }) => sublayers)
      .reduce((sum, { flopsPerToken = 0 }) => sum + flopsPerToken, 0);
    expect(facts.tiedHead).toBe(true);
    expect(totals.flopsPerToken).toBe(blockSum + 2 * hiddenSize * vocabularySize);
  });

  it('counts LoRA over the linear layers of the blocks', async () => {
    const path = makeModel('lora', {
      'layers.0.self_attn.q_proj.weight': [6, 4],
      'layers.0.mlp.experts.up.weight': [3, 5, 2],
      'layers.0.norm.weight': [4],
      'lm_head.weight': [9, 4],
    });
    const { tuning, totals } = await describeModel(path);
    const [rank8] = tuning.lora;
    const trained = 8 * (6 + 4 + 3 * (5 + 2));
    expect(rank8).toEqual({
      rank: 8,
      parameters: trained,
      bytes: 2 * totals.parameters + 16 * trained,
      quantizedBytes: totals.parameters / 2 + 16 * trained,
    });
    expect(tuning.fullBytes).toBe(16 * totals.parameters);
  });
});

describe('GGUF files', () => {
  it.each(['llama', 'qwen2', 'qwen3'])('%s keeps its own names in the blocks', async (name) => {
    const model = await describeModel(join(ggufFolder, `${name}.gguf`));
    const [attention, feedforward] = model.blocks[0]?.sublayers ?? [];
    expect(model.understood.by).toBe('architecture');
    expect(attention?.tensors.map((tensor) => tensor.name)).toContain('blk.0.attn_q.weight');
    expect(feedforward?.tensors.map((tensor) => tensor.name)).toContain('blk.0.ffn_down.weight');
    expect(model.metadata['general.architecture']).toBe(name);
    expect(model.facts.vocabularySize).toBeGreaterThan(0);
    expect(model.cache).toHaveLength(3);
  });

  it('of an unknown family has its tensors, and the reason why it cannot be run', async () => {
    const model = await describeModel(join(ggufFolder, 'blocks.gguf'));
    expect(model.understood.by).toBe('names');
    expect(model.understood.reason && inEnglish(model.understood.reason)).toMatch(
      /general\.architecture: Architecture "none"/,
    );
    expect(readTensors(model)).toContain('Q6_K');
  });
});

describe('ONNX files', () => {
  it.each(onnxCases)('%s: every initializer has one place', async (name) => {
    const model = await describeModel(onnxFixture(name));
    const { summary, file } = await openOnnxModel(onnxFixture(name));
    const names = readTensors(model);
    expect(new Set(names).size).toBe(names.length);
    expect(names.sort()).toEqual([...file.initializers.keys()].sort());
    expect(model.totals.parameters).toBe(summary.parameters);
    expect(model.totals.bytes).toBe(summary.bytes);
    expect(model.graph?.operators).toEqual(summary.ops);
  });

  it('parts before and after the stream are distinguished', async () => {
    const { parts } = await describeModel(onnxFixture('gpt2-legacy'));
    const listNames = (kind: string): string[] =>
      parts
        .filter(({ part }) => part === kind)
        .flatMap(({ tensors }) => tensors.map((t) => t.name));
    expect(listNames('embedding').some((name) => name.includes('wpe'))).toBe(true);
    expect(listNames('final-norm').every((name) => name.includes('ln_f'))).toBe(true);
    expect(listNames('head')).toHaveLength(1);
  });
});

describe('models that cannot be run', () => {
  it('are put together by the numbers in the names', async () => {
    const path = makeModel(
      'unknown',
      {
        'shared.embed.weight': [10, 4],
        'encoder.block.0.layer.0.SelfAttention.q.weight': [4, 4],
        'encoder.block.0.layer.1.DenseReluDense.wi.weight': [8, 4],
        'decoder.block.10.layer.1.EncDecAttention.q.weight': [4, 4],
        'decoder.block.2.layer.0.SelfAttention.k.weight': [4, 4],
        'decoder.final_layer_norm.weight': [4],
        'lm_head.weight': [10, 4],
        strange: [2],
      },
      { model_type: 'surely-unknown', num_heads: 2, d_model: 4 },
    );
    const model = await describeModel(path);
    expect(model).toMatchObject({ family: 'surely-unknown', understood: { by: 'names' } });
    expect(model.understood.reason && inEnglish(model.understood.reason)).toContain(
      'surely-unknown',
    );
    expect(model.blocks.map(({ id }) => id)).toEqual([
      'encoder.block.0',
      'decoder.block.2',
      'decoder.block.10',
    ]);
    expect(model.blocks.map(({ sublayers }) => sublayers.map(({ kind }) => kind))).toEqual([
      ['attention', 'feedforward'],
      ['attention'],
      ['cross-attention'],
    ]);
    expect(model.parts.map(({ part, tensors }) => [part, tensors.map((t) => t.name)])).toEqual([
      ['embedding', ['shared.embed.weight']],
      ['final-norm', ['decoder.final_layer_norm.weight']],
      ['head', ['lm_head.weight']],
      ['other', ['strange']],
    ]);
    expect(model.facts).toMatchObject({ heads: 2, headSize: 2 });
  });

  const experts = {
    'model.layers.0.self_attn.k_proj.weight': [4, 8],
    'model.layers.0.self_attn.v_proj.weight': [4, 8],
    'model.layers.0.block_sparse_moe.gate.weight': [4, 8],
    ...Object.fromEntries(
      [0, 1, 2, 3].map((expert) => [
        `model.layers.0.block_sparse_moe.experts.${expert}.w1.weight`,
        [16, 8],
      ]),
    ),
  };

  it('counts the experts of a token', async () => {
    const config = { model_type: 'unknown-moe', num_local_experts: 4, num_experts_per_tok: 2 };
    const { totals, blocks } = await describeModel(makeModel('moe', experts, config));
    const expert = blocks[0]?.sublayers.find(({ kind }) => kind === 'expert');
    expect(expert?.flopsPerToken).toBe(2 * (32 + 2 * 128));
    expect(totals.activeParameters).toBe(64 + 32 + 2 * 128);
    expect(totals.parameters).toBe(64 + 32 + 4 * 128);
    expect(totals.kvBytesPerToken).toBe(4 * (4 + 4));
  });

  it('leaves out unknown values', async () => {
    const { totals, cache } = await describeModel(makeModel('moe-unsaid', experts));
    expect(totals.flopsPerToken).toBeUndefined();
    expect(totals.activeParameters).toBeUndefined();
    expect(cache.length).toBeGreaterThan(0);
    const fused = { 'h.0.attn.c_attn.weight': [8, 24] };
    expect((await describeModel(makeModel('fused-unsaid', fused))).cache).toEqual([]);
  });
});

describe('the opened file', () => {
  it('a folder, its config.json and any of its shards are the same model', async () => {
    const path = fixture('llama-sharded');
    const whole = await describeModel(path);
    const shards = readdirSync(path).filter((name) => name.endsWith('.safetensors'));
    expect(whole.files).toHaveLength(shards.length);
    expect(shards.length).toBeGreaterThan(1);
    for (const name of [...shards, 'config.json', 'model.safetensors.index.json']) {
      expect(await describeModel(join(path, name))).toEqual(whole);
    }
  });

  it('an adapter next to a model is described separately', async () => {
    const path = join(folder, 'with-adapter');
    cpSync(fixture('qwen3'), path, { recursive: true });
    const name = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight';
    const header = { [name]: { dtype: 'F32', shape: [2, 4], data_offsets: [0, 32] } };
    const adapter = writeSafetensorsFile(join(path, 'adapter_model.safetensors'), header, 32);
    const config = { peft_type: 'LORA', r: 2, target_modules: ['q_proj'] };
    writeFileSync(join(path, 'adapter_config.json'), JSON.stringify(config));
    const described = await describeModel(adapter);
    expect(described).toMatchObject({ name: 'adapter_model', totals: { tensors: 1 } });
    expect(described.blocks[0]?.sublayers[0]?.kind).toBe('attention');
    const whole = await describeModel(path);
    expect(whole.understood.by).toBe('architecture');
    const side = whole.sideFiles.find((file) => file.name === 'adapter_config.json');
    expect(side).toMatchObject({
      role: 'adapter',
      facts: { peft_type: 'LORA', r: '2', target_modules: '["q_proj"]' },
    });
  });

  it('opens a folder with a single file of weights', async () => {
    const path = makeModel('only-weights-1.5b', { 'a.0.b': [2] });
    expect(await describeModel(path)).toMatchObject({
      name: 'only-weights-1.5b',
      family: undefined,
    });
  });

  it.each([
    ['no-such-model', { code: 'path-missing' as const, file: 'no-such-model' }],
    ['empty', { code: 'config-missing' as const, file: 'empty' }],
  ])('%s is an error that names it', async (name, message) => {
    mkdirSync(join(folder, 'empty'), { recursive: true });
    await expect(describeModel(join(folder, name))).rejects.toFailWith(message);
  });

  it('rejects a damaged file instead of listing the rest', async () => {
    const path = makeModel('damaged', { 'a.0.b': [2] });
    writeFileSync(join(path, 'model.safetensors'), Buffer.alloc(20, 255));
    await expect(describeModel(path)).rejects.toFailWith({
      code: 'safetensors-header-too-long',
      file: 'model.safetensors',
    });
  });
});
