import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { inEnglish } from '../../../extension/core/message';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { rewriteConfig } from '../../../extension/core/export/hugging-face/pruned-config';
import { writtenOnnxLogits } from '../../../extension/core/export/verify';
import { unattended } from '../../../extension/core/jobs/job';
import { describeQuantization } from '../../../extension/core/models/quantized/quantization';
import { writeSafetensorsFile } from '../checkpoints/safetensors-file';
import { prune, rejection } from '../export/pruning';
import { familyFixture, relativeError } from '../fixtures';
import { namedSource } from '../config-source';
import { temporaryFolder } from '../temporary-folder';
import { computeOutputs, readStates } from './encodings/layered';

const out = temporaryFolder();
const folder = familyFixture('deepseek_v4');
const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as {
  readonly input_ids: readonly (readonly number[])[];
};
const [first = []] = golden.input_ids;
const ids = Int32Array.from(first);
const goldenLogits = new Float32Array(
  new Uint8Array(readFileSync(join(folder, 'golden.bin'))).buffer,
);
const vocabulary = 64;

/** A copy of the fixture with other fields; undefined takes one out. */
function withFields(name: string, fields: Readonly<Record<string, unknown>>): string {
  const copy = join(out, name);
  cpSync(folder, copy, { recursive: true });
  const file = join(copy, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, ...fields }));
  return copy;
}

const readConfig = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;

// Runs have 4 and 5 tokens, and 6 tokens are near.
it.each([1, 3, 4, 5, 9, 17, 23])(
  'the first %i tokens have the logits of transformers, also with an incomplete chunk',
  async (length) => {
    const logits = await computeOutputs(await openModel(folder), [ids.slice(0, length)]);
    expect(relativeError(logits, goldenLogits.slice(0, length * vocabulary))).toBeLessThan(1e-5);
  },
);

const block = (number: number): string[] => [`block.${number}.attention`, `block.${number}.expert`];

describe.each([
  ['blocks', block(0)],
  ['blocks', [...block(1), ...block(2)]],
  ['auto-map', ['block.0.attention', 'block.3.expert', 'block.2.attention']],
  ['auto-map', [...block(1), 'block.2.expert', 'block.3.attention']],
  ['auto-map', ['block.1.expert.0', 'block.1.expert.3']],
  // Those of blocks 0 and 2 stay, so MoE layers differ.
  ['auto-map', ['block.1.expert.2', 'block.3.expert.0']],
  ['blocks', [...block(0), ...block(2), 'block.1.expert.2', 'block.3.expert.0']],
] as const)('as %s without %j', (layout, removed) => {
  it('equals the original without them', async () => {
    const expected = await computeOutputs(await openModel(folder), [ids], removed);
    const name = join(out, `${layout}-${removed.join('+')}`);
    const result = await prune(folder, removed, name);
    expect(result.layout).toBe(layout);
    const pruned = await openModel(result.path);
    expect(relativeError(await computeOutputs(pruned, [ids]), expected)).toBeLessThan(1e-5);
    expect(pruned.summary.warnings).toEqual([]);
  });
});

it('is written as ONNX without sublayers and experts', async () => {
  const removed = ['block.0.attention', 'block.1.expert.2', 'block.2.expert'];
  const { path, loadsWith } = await prune(folder, removed, join(out, 'onnx'), { format: 'onnx' });
  expect(inEnglish(loadsWith)).toMatch(
    /^ONNX Runtime: .* 3 caches: keys and compressed values, which optimum and/,
  );
  const expected = await computeOutputs(await openModel(folder), [ids], removed);
  const logits = await writtenOnnxLogits(path, ids, vocabulary, unattended);
  expect(relativeError(logits, expected)).toBeLessThan(1e-5);
  // Sublayers mix all streams, and the mask that blocks add to their scores is no stream.
  const { summary } = await openModel(join(path, 'model.onnx'));
  expect(summary.sublayers).toEqual([]);
  expect(summary.warnings.map(inEnglish)).toEqual([
    'The graph has no residual branch, so there is no sublayer to remove.',
  ]);
});

it('the stream mixing of a sublayer is removed with it, and the streams are unchanged', async () => {
  const removed = ['block.0.attention', 'block.3.expert'];
  const { path } = await prune(folder, removed, join(out, 'streams'));
  const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
  const left = [...tensors.keys()].filter((name) => /layers\.[03]\.hc_/.test(name));
  expect(left.sort()).toEqual(
    ['0.hc_ffn', '3.hc_attn'].flatMap((name) =>
      ['base', 'fn', 'scale'].map((part) => `model.layers.${name}_${part}`),
    ),
  );
  const states = await readStates(await openModel(folder), ids);
  expect(states[0]?.values['hidden']?.dims).toEqual([1, ids.length, 4 * 16]);
  const without = await readStates(await openModel(path), ids);
  // In front of the feed-forward of block 0 they are still copies of the embedding.
  expect(without[0]?.values['hidden']?.data).toEqual(states[0]?.values['hidden']?.data);
  const config = readConfig(path);
  expect(config['espalier']).toMatchObject({ removed });
  const python = readFileSync(join(path, 'modeling_espalier.py'), 'utf8');
  expect(python).toContain('layer.attn_hc = KeptStreams()');
  expect(python).toContain('layer.self_attn = NoAttention()');
  expect(python).toContain('layer.input_layernorm = nn.Identity()');
});

it('refuses unsupported settings with the reason', async () => {
  const zeroed = prune(folder, ['block.0.attention'], join(out, 'zeroed'), { layout: 'zeroed' });
  expect((await rejection(zeroed)).message).toMatch(/mixes several streams/);
  const byTable = prune(folder, ['block.2.expert.1'], join(out, 'table'));
  expect((await rejection(byTable)).message).toMatch(
    /A table in block\.2\.expert selects experts by token/,
  );
  const { capabilities, summary, ...opened } = await openModelFiles(folder);
  const model: LayeredModel = opened.model;
  // Nor are those that a table names scored by themselves.
  expect(summary.sublayers.flatMap((one, i) => (model.sublayer(i).routed ? [one.id] : []))).toEqual(
    ['block.1.expert', 'block.3.expert'],
  );
  expect(capabilities).toMatchObject({
    run: { able: true },
    removeExperts: { able: true },
    compress: { able: true },
    patch: { able: false, code: 'several-streams' },
    pruneWidth: { able: false },
  });
  expect(summary.sublayers.map(({ experts }) => experts?.least)).toEqual(
    summary.sublayers.map(({ id }) => (/[02]\.expert$/.test(id) ? 4 : undefined)),
  );
});

it('counts a key, which is the value too, and the shares of runs as kept for each token', async () => {
  const { summary } = await openModel(folder);
  const remaining = summary.sublayers.flatMap(({ kind, kvBytesPerToken }) =>
    kind === 'attention' ? [kvBytesPerToken] : [],
  );
  // 8 numbers of 2 bytes; 8 for 5 tokens; 8 and 8 of the indexer for 4.
  expect(remaining).toEqual([16, Math.round(2 * (8 + 8 / 5)), 24, 24]);
});

it('reads the fields of an older config.json, which pruning replaces by the new ones', async () => {
  const older = withFields('older', {
    layer_types: undefined,
    compress_rates: undefined,
    compress_ratios: [0, 128, 4, 4, 0],
    compress_rate_hca: 5,
    partial_rotary_factor: undefined,
    rope_parameters: undefined,
    rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 16 },
  });
  const logits = await computeOutputs(await openModel(older), [ids]);
  expect(relativeError(logits, goldenLogits.slice(0, ids.length * vocabulary))).toBeLessThan(1e-5);
  // As in transformers, the older field wins.
  const both = withFields('older-and-newer', {
    compress_rates: { heavily_compressed_attention: 3 },
    compress_rate_hca: 5,
  });
  expect(await computeOutputs(await openModel(both), [ids])).toEqual(logits);
  const { path } = await prune(older, block(0), join(out, 'older-pruned'));
  const types = readConfig(folder)['layer_types'] as string[];
  expect(readConfig(path)).toMatchObject({ layer_types: types.slice(1), num_hidden_layers: 3 });
  const expected = await computeOutputs(await openModel(folder), [ids], block(0));
  expect(relativeError(await computeOutputs(await openModel(path), [ids]), expected)).toBeLessThan(
    1e-5,
  );
});

it.each([
  [{ mlp_layer_types: undefined, num_hash_layers: 2 }, block(0), [128, 4, 4, 0, 7], 1],
  [{ mlp_layer_types: undefined, num_hash_layers: 2 }, block(3), [0, 128, 4, 0, 7], 2],
  // With the list of the fixture, block 2 has a table.
  [{ num_hash_layers: 1 }, block(0), [128, 4, 4, 0, 7], undefined],
  [{ num_hash_layers: 1 }, [...block(0), ...block(1)], [4, 4, 0, 7], 1],
  [{ num_hash_layers: 1 }, [...block(0), ...block(2)], [128, 4, 0, 7], 0],
] as const)(
  'fields of older configurations with %j speak of the blocks that stay without %j',
  (fields, removed, ratios, tables) => {
    const config = readConfig(folder);
    const text = JSON.stringify({ ...config, ...fields, compress_ratios: [0, 128, 4, 4, 0, 7] });
    const removedIds = new Set(removed.map((id) => Number(id.split('.')[1])));
    const blocks = [0, 1, 2, 3].filter((one) => !removedIds.has(one));
    const written: unknown = JSON.parse(rewriteConfig(namedSource(text), { blocks, absent: [] }));
    expect(written).toMatchObject({ compress_ratios: ratios, num_hidden_layers: blocks.length });
    expect((written as typeof config)['num_hash_layers']).toBe(tables);
  },
);

it.each([
  [{ scoring_func: 'softmax' }, /scoring_func: .*only with "sqrtsoftplus" or "sigmoid"/],
  [
    { layer_types: undefined, compress_ratios: [0, 128, 8, 4] },
    /compress_ratios: .*It has 8 for block 2, expected 0 or 4 or 128/,
  ],
  [
    { layer_types: undefined, compress_ratios: [0, 128, 4] },
    /compress_ratios: .*It has 3 entries for 4 blocks/,
  ],
  [{ mlp_bias: true }, /mlp_bias: .*only with false/],
  [{ hc_mult: 3 }, /hc_attn_fn: .*It has shape \[24, 64\], expected \[15, 48\]/],
] as const)('refuses a config with %j, and names the field', async (fields, why) => {
  const other = withFields(Object.keys(fields).join('+'), fields);
  const { message, subject } = await rejection(openModel(other));
  expect(`${subject.field ?? ''}: ${message}`).toMatch(why);
});

it('reads tensors under the names of the published files, too', async () => {
  const other = withFields('published', {});
  const file = join(other, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  // Shorter names, and spaces after the header: offsets count from its end.
  const header = bytes
    .toString('utf8', 8, 8 + length)
    .replaceAll('"model.', '"')
    .replace('"embed_tokens.weight"', '"embed.weight"')
    .replaceAll('"hc_head.hc_', '"hc_head_')
    .replaceAll('.attn.norm.', '.attn.kv_norm.');
  writeFileSync(
    file,
    Buffer.concat([
      bytes.subarray(0, 8),
      Buffer.from(header.padEnd(length)),
      bytes.subarray(8 + length),
    ]),
  );
  const { path } = await prune(other, block(1), join(out, 'published-pruned'));
  const expected = await computeOutputs(await openModel(folder), [ids], block(1));
  const pruned = await openModel(path);
  expect(relativeError(await computeOutputs(pruned, [ids]), expected)).toBeLessThan(1e-5);
  expect(pruned.summary.warnings).toEqual([]);
  const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
  expect([...tensors.keys()]).toEqual(
    expect.arrayContaining(['embed.weight', 'hc_head_fn', 'layers.2.attn.wq_a.weight']),
  );
});

it('published files of eight and four bits have the same number of parameters', async () => {
  const published = withFields('published-fp8', {
    expert_dtype: 'fp4',
    quantization_config: {
      ...{ quant_method: 'fp8', fmt: 'e4m3', scale_fmt: 'ue8m0', activation_scheme: 'dynamic' },
      weight_block_size: [128, 128],
    },
  });
  const { tensors } = await openSafetensors(join(folder, 'model.safetensors'));
  const stored = [...tensors].flatMap(([long, { dtype, shape }]): [string, string, number[]][] => {
    const name = long
      .replace(/^model\./, '')
      .replace(/^embed_tokens/, 'embed')
      .replace('hc_head.hc_', 'hc_head_');
    const [rows = 0, columns = 0] = shape;
    const scale = name.replace(/weight$/, 'scale');
    return name.includes('.experts.')
      ? [
          [name, 'I8', [rows, columns / 2]],
          [scale, 'F8_E8M0', [rows, Math.ceil(columns / 32)]],
        ]
      : /\.(?:attn|shared_experts)\.w\w+\.weight$/.test(name)
        ? [
            [name, 'F8_E4M3', [rows, columns]],
            [scale, 'F8_E8M0', [1, 1]],
          ]
        : [[name, dtype, [...shape]]];
  });
  const bytes: Readonly<Record<string, number>> = { I64: 8, F16: 2 };
  let end = 0;
  const header = Object.fromEntries(
    stored.map(([name, dtype, shape]) => {
      const begin = end;
      end += shape.reduce((product, size) => product * size, bytes[dtype] ?? 1);
      return [name, { dtype, shape, data_offsets: [begin, end] }];
    }),
  );
  writeSafetensorsFile(join(published, 'model.safetensors'), header, end);
  const model = await openModel(published);
  const { summary } = await openModel(folder);
  const parameters = (of: typeof summary): number[] => of.sublayers.map((one) => one.parameters);
  expect(parameters(model.summary)).toEqual(parameters(summary));
  const { quantization, warnings } = model.summary;
  expect(quantization && describeQuantization(quantization)).toBe(
    'fp8 (e4m3), 8 bits, blocks of 128 × 128, run as float32',
  );
  expect(warnings).toEqual([]);
});

it('rejects a table of experts that does not contain integers', async () => {
  const other = withFields('table-of-floats', {});
  const file = join(other, 'model.safetensors');
  const bytes = readFileSync(file);
  const text = bytes.toString('latin1').replace('"I64"', '"F64"');
  writeFileSync(file, Buffer.from(text, 'latin1'));
  const { message, subject } = await rejection(openModel(other));
  expect(message).toMatch(/The expert table must contain integers, not F64/);
  expect(subject.field).toMatch(/gate\.tid2eid$/);
  expect(inEnglish((subject.remedy ?? '') as never)).toMatch(/int64/);
});
