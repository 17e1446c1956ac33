import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../extension/core/checkpoints/gguf-values';
import type { GgufTensor } from '../../../extension/core/export/gguf/gguf-tensors';
import { headerEntry } from '../../../extension/core/export/gguf/header-entries';
import { readGating, sigmoid } from '../../../extension/core/models/gguf/gguf-fields';
import { requireGgufFile } from '../../../extension/core/models/gguf/gguf-file';
import { GgufKeys } from '../../../extension/core/models/gguf/gguf-keys';
import { openGguf } from '../../../extension/core/models/gguf/gguf-model';
import { parseDecoder } from '../../../extension/core/models/model-family';
import { familyFixture, relativeError } from '../fixtures';
import {
  attends,
  blockFeatures,
  blockIds,
  expectSame,
  expectSameWithoutBlock,
  fileIn,
  makeFolder,
  fresh,
  ids,
  floatValues,
  none,
  notInGguf,
  rewritten,
  yarn,
} from './gguf/family-files';
import type { FamilyCase } from './gguf/family-files';
import { modelFeatures, sampled } from '../sample';
import { computeLogits, logitsWithout, prune } from './pruning';
import { llamaCppViolation } from './llama-cpp-violation';

const families: readonly FamilyCase[] = [
  { name: 'glm4_moe_lite', architecture: 'deepseek2', block: 0 },
  { name: 'youtu', architecture: 'deepseek2', block: 1 },
  { name: 'mistral4', architecture: 'mistral4', block: 1 },
  { name: 'apertus', architecture: 'apertus', block: 1 },
  { name: 'internlm3', architecture: 'llama', block: 1 },
  {
    name: 'internlm3',
    changed: { rope_parameters: undefined, rope_scaling: { rope_type: 'dynamic', factor: 6 } },
    ...{ architecture: 'llama', block: 1 },
  },
  {
    name: 'cohere2_moe',
    changed: { rms_norm_eps: 1e-5 },
    ...{ architecture: 'cohere2moe', block: 1 },
  },
  { name: 'iquestcoder', architecture: 'llama', block: 1 },
  { name: 'solar_open', architecture: 'glm4moe', block: 1 },
  { name: 'olmo3', architecture: 'olmo2', block: 1 },
  { name: 'olmo3', changed: { rope_parameters: yarn }, architecture: 'olmo2', block: 1 },
  { name: 'granitemoeshared', architecture: 'granitemoe', block: 0 },
  { name: 'exaone_moe', architecture: 'exaone-moe', block: 1 },
  { name: 'afmoe-scaled', architecture: 'afmoe', block: 3 },
  { name: 'hy_v3', architecture: 'hy_v3', block: 0 },
  { name: 'cohere2_moe', architecture: 'cohere2moe', block: 1 },
  {
    name: 'cohere2_moe',
    changed: { expert_selection_fn: 'sigmoid', norm_topk_prob: false },
    ...{ architecture: 'cohere2moe', block: 0 },
  },
  { name: 'mellum', architecture: 'mellum', block: 0 },
  {
    name: 'mellum',
    changed: {
      layer_types: ['sliding', 'full', 'full', 'sliding'].map(attends),
      rope_parameters: yarn,
    },
    ...{ architecture: 'mellum', block: 1 },
  },
  { name: 'glm4v', architecture: 'glm4', block: 0 },
  { name: 'qwen3_vl', architecture: 'qwen3vl', block: 0 },
];

const written = await sampled(families, async ({ name, changed = {} }) => {
  const fields = Object.keys(changed).sort().join();
  return `${await modelFeatures(familyFixture(name))} ${fields}`;
});

it.each(written)('a GGUF file of $name gives the logits of the folder', expectSame);

it.each(await sampled(families, blockFeatures))(
  'a GGUF file of $name without a block equals the folder without it',
  expectSameWithoutBlock,
);

it.each([
  ['afmoe-scaled', [1], 'num_hidden_layers'],
  ['afmoe', [], 'mup_enabled'],
] as const)('%s without blocks %j is refused, of the folder', async (name, blocks, field) => {
  const folder = familyFixture(name);
  const removed = (await Promise.all(blocks.map(async (one) => blockIds(folder, one)))).flat();
  const asked = prune(folder, removed, fresh(), floatValues);
  await expect(asked).rejects.toFailWith({ ...notInGguf, field });
});

it('router scores of GLM-4.7-Flash use σ, which its files leave out', async () => {
  const whole = fresh();
  await prune(familyFixture('glm4_moe_lite'), [], whole, floatValues);
  const header = await readGgufHeader(fileIn(whole));
  const gating = (changed: Readonly<Record<string, number>>): number | undefined => {
    const silent = [...header.metadata].filter(([key]) => !key.endsWith('expert_gating_func'));
    const metadata = new Map([...silent, ...Object.entries(changed)]);
    return readGating(new GgufKeys({ ...header, metadata }, header.file));
  };
  const flash = { 'deepseek2.vocab_size': 154_880, 'deepseek2.block_count': 48 };
  expect(gating({})).toBeUndefined();
  expect(gating(flash)).toBe(sigmoid);
  expect(gating({ ...flash, 'deepseek2.block_count': 46 })).toBeUndefined();
  expect(gating({ ...flash, 'deepseek2.expert_gating_func': 1 })).toBe(1);
});

it("Mistral 4 can't be pruned to a number of blocks with which llama.cpp expects other queries", async () => {
  const whole = fresh();
  await prune(familyFixture('mistral4'), [], whole, floatValues);
  const header = await readGgufHeader(fileIn(whole));
  const metadata = new Map([...header.metadata, ['mistral4.block_count', 36]] as const);
  const file = requireGgufFile({ ...header, metadata }, header.file);
  const { architecture, configText } = await openGguf(file, header.file);
  const facts = {
    source: 'header',
    configFile: header.file,
    ...parseDecoder(architecture, configText, header.file),
    target: { architecture: 'mistral4', family: file.conversion },
  } as const;
  const refusal = (count: number): string | undefined =>
    llamaCppViolation(facts, [...Array(count).keys()])?.field;
  expect([36, 28, 27, 26].map(refusal)).toEqual([
    ...[undefined, undefined, 'mistral4.block_count', 'mistral4.block_count'],
  ]);
});

const llama3 = {
  ...{ rope_type: 'llama3', rope_theta: 10_000, factor: 8, original_max_position_embeddings: 16 },
  ...{ low_freq_factor: 1, high_freq_factor: 4 },
};

const windowed = (name: string, rope: object) =>
  [
    name,
    {
      layer_types: ['sliding', 'sliding', 'sliding', 'full'].map(attends),
      rope_parameters: { ...yarn, sliding_attention: rope },
    },
    'rope_parameters.sliding_attention.rope_type',
  ] as const;

it.each([
  windowed('olmo3', yarn.full_attention),
  windowed('mellum', { rope_type: 'linear', rope_theta: 10_000, factor: 2 }),
  ...(['olmo3', 'mellum', 'apertus'] as const).map(
    (name) => [name, { tie_word_embeddings: true }, 'tie_word_embeddings'] as const,
  ),
  ...(['afmoe-scaled', 'mistral4', 'cohere2_moe', 'hy_v3'] as const).map(
    (name) => [name, { rope_parameters: llama3 }, 'rope_parameters'] as const,
  ),
  ['olmo3', { rope_parameters: { ...yarn, full_attention: llama3 } }, 'rope_parameters'],
] as const)('%s with %j is refused', async (name, changed, field) => {
  const asked = prune(makeFolder(name, changed), [], fresh(), floatValues);
  await expect(asked).rejects.toFailWith({ ...notInGguf, field });
});

it.each([
  ['the model', [true, true, true, false]],
  ['all', [true, true, true, false, false]],
])(
  'windows listed of %s, which predicts further tokens, stay with their blocks',
  async (_, listed) => {
    const [whole, out] = [fresh(), fresh()];
    const folder = familyFixture('exaone_moe');
    await prune(folder, [], whole, floatValues);
    const file = await rewritten(
      fileIn(whole),
      {
        block_count: (key) => headerEntry.integer(key, 5),
        nextn_predict_layers: (key) => headerEntry.integer(key, 1),
        'attention.sliding_window_pattern': (key) => headerEntry.flags(key, listed),
      },
      (tensors) => [
        ...tensors,
        {
          ...{ name: 'blk.4.nextn.eh_proj.weight', shape: [2, 2], type: 'F32', length: 16 },
          source: { kind: 'given', bytes: new Uint8Array(16) },
        },
      ],
    );
    expect(
      relativeError(await computeLogits(file, ids), await computeLogits(folder, ids)),
    ).toBeLessThan(1e-5);
    const removed = await blockIds(folder, 1);
    await prune(file, removed, out, { format: 'gguf' });
    const written = fileIn(out);
    const { metadata } = await readGgufHeader(written);
    const list = metadata.get('exaone-moe.attention.sliding_window_pattern');
    expect(typeof list === 'object' && (await readGgufArray(written, 'flags', list))).toEqual([
      ...[true, true, false],
    ]);
    expect(
      relativeError(await computeLogits(written, ids), await computeLogits(folder, ids, removed)),
    ).toBeLessThan(1e-5);
  },
);

const toBytes = ({ source }: GgufTensor): Buffer[] =>
  source.kind === 'copy'
    ? source.ranges.map(({ file, offset, length }) =>
        readFileSync(file).subarray(offset, offset + length),
      )
    : [];

/** Stacks [experts, inner, hidden] of gates and ups as one [experts, 2 · inner, hidden]. */
const fused = (tensors: readonly GgufTensor[]): GgufTensor[] =>
  tensors.flatMap((tensor): GgufTensor[] => {
    if (tensor.name.includes('ffn_up_exps')) {
      return [];
    }
    const up = tensors.find(
      ({ name }) => name === tensor.name.replace('ffn_gate_exps', 'ffn_up_exps'),
    );
    if (up === undefined || up === tensor) {
      return [tensor];
    }
    const [count = 0, inner = 0, hidden = 0] = tensor.shape;
    const [gates, ups] = [tensor, up].map((one) => Buffer.concat(toBytes(one)));
    const size = inner * hidden * 4;
    const bytes = Buffer.concat(
      Array.from({ length: count }, (_, i) => i * size).flatMap((at) =>
        [gates, ups].flatMap((stack) => stack?.subarray(at, at + size) ?? []),
      ),
    );
    return [
      {
        ...{ name: tensor.name.replace('ffn_gate_exps', 'ffn_gate_up_exps'), type: 'F32' },
        ...{ shape: [count, 2 * inner, hidden], length: bytes.length },
        source: { kind: 'given', bytes },
      },
    ];
  });

it.each(['mistral4', 'hy_v3', 'cohere2_moe', 'glm4_moe_lite'])(
  'gate and up projections of experts of %s may share one tensor',
  async (name) => {
    const [whole, out] = [fresh(), fresh()];
    const folder = familyFixture(name);
    await prune(folder, [], whole, floatValues);
    const file = await rewritten(fileIn(whole), {}, fused);
    const removed = await blockIds(folder, 1);
    const [original = none, pruned = none] = await logitsWithout(folder, ids, [[], removed]);
    expect(relativeError(await computeLogits(file, ids), original)).toBeLessThan(1e-5);
    await prune(file, removed, out, { format: 'gguf' });
    expect(relativeError(await computeLogits(fileIn(out), ids), pruned)).toBeLessThan(1e-5);
  },
);

it('the first block of each period of Cohere 2 MoE has no window if the file has no list', async () => {
  const whole = fresh();
  const folder = makeFolder('cohere2_moe', {
    layer_types: ['full', 'sliding', 'sliding', 'sliding'].map(attends),
  });
  await prune(folder, [], whole, floatValues);
  const file = await rewritten(fileIn(whole), {
    'attention.sliding_window_pattern': (key) => headerEntry.integer(key, 4),
  });
  expect(
    relativeError(await computeLogits(file, ids), await computeLogits(folder, ids)),
  ).toBeLessThan(1e-5);
});

it('OLMo 3 with another base in blocks with windows is refused', async () => {
  const { full_attention: full } = yarn;
  const changed = {
    rope_parameters: { ...yarn, full_attention: { ...full, rope_theta: 500_000 } },
  };
  const asked = prune(makeFolder('olmo3', changed), [], fresh(), floatValues);
  const field = 'rope_parameters.sliding_attention.rope_theta';
  await expect(asked).rejects.toFailWith({ ...notInGguf, field });
});
