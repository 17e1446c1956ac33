import { cpSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../extension/core/checkpoints/gguf-values';
import type { GgufArray } from '../../../extension/core/checkpoints/gguf-values';
import type { PlannedWidthPruning } from '../../../extension/core/models/width-pruning/width';
import { planFor } from '../../../extension/core/plans/plan';
import { parsePlan } from '../../../extension/core/plans/plan-schema';
import { listOutputs } from '../../../extension/core/export/writable';
import { unattended } from '../../../extension/core/jobs/job';
import {
  formatRanges,
  parseRanges,
} from '../../../extension/core/models/width-pruning/number-ranges';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import type { PlanApplication } from '../../../extension/core/pipelines/apply-plan';
import { readManifest } from '../../../extension/core/pipelines/manifest-file';
import { CausalOnnxModel } from '../../../extension/core/runtime/causal-onnx-model';
import { computeLogits, readConfig } from '../export/pruning';
import { encoderFixture, encoderGolden, encoderOutput } from '../encoder-fixtures';
import { familyFixture, fixture, relativeError } from '../fixtures';
import { ggufFixture, ggufNames } from '../gguf-fixtures';
import { makeRandomModel } from '../random-model';
import { ignoringIn, pruneWidthsIn } from './width-pruning';
import { layerFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();
const pruneWidths = pruneWidthsIn(root);
const ignoring = ignoringIn(root);
const rows = [[3, 14, 15, 9, 26, 5, 35, 8]];
const attention = { sublayer: 'block.1.attention', remove: '0' };
const feedforward = { sublayer: 'block.0.feedforward', remove: '0-2,5,11' };

async function onnxLogits(file: string): Promise<Float32Array> {
  const model = await CausalOnnxModel.open(file);
  const [ids = []] = rows;
  const input = {
    inputIds: [ids],
    attentionMask: [ids.map(() => 1)],
    positionIds: [[...ids.keys()]],
  };
  try {
    return (await model.run(input, model.emptyCache(1))).logits;
  } finally {
    await model.dispose();
  }
}

describe('a width-pruned model', () => {
  it.each([
    ['llama-gqa-untied', 'safetensors', [attention, feedforward]],
    ['llama-bf16', 'safetensors', [attention, feedforward]],
    ['llama-sharded', 'safetensors', [attention, feedforward]],
    ['qwen2', 'safetensors', [attention, feedforward]],
    ['qwen3', 'safetensors', [attention, feedforward]],
    ['gemma2', 'safetensors', [attention, feedforward]],
    ['cohere', 'safetensors', [attention, feedforward]],
    ['opt', 'safetensors', [attention, feedforward]],
    ['gpt2', 'safetensors', [feedforward]],
    ['gpt2', 'onnx', [attention, feedforward]],
    ['phi3', 'safetensors', [feedforward]],
    ['phi3', 'onnx', [attention, feedforward]],
    ['gpt-neox', 'onnx', [attention, feedforward]],
    ['falcon-new', 'onnx', [attention, feedforward]],
    ['llama-gqa-untied', 'onnx', [attention, feedforward]],
    ['llama-gqa-untied', 'gguf', [attention, feedforward]],
  ] as const)(
    'of %s as %s equals the original without the channels',
    async (name, format, plan) => {
      const source = fixture(name);
      const changes = { widths: plan };
      const result = await pruneWidths(source, changes, `${name}-${format}`, { format });
      expect(result.verification.relativeError).toBeLessThan(1e-4);
      expect(result.widths).toHaveProperty(['block.0.feedforward']);
      expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
      const expected = await computeLogits(await ignoring(source, format, plan), rows);
      const file = { safetensors: '', gguf: `${name}.gguf`, onnx: 'model.onnx' }[format];
      const written = join(result.path, file);
      const actual =
        format === 'onnx' ? await onnxLogits(written) : await computeLogits(written, rows);
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    },
  );

  it('lists removed channels in its config, its manifest and its plan', async () => {
    const source = fixture('llama-gqa-untied');
    const plan = { remove: ['block.0.attention', 'block.0.feedforward'], widths: [attention] };
    const { path, layout } = await pruneWidths(source, plan, 'renumbered');
    expect(layout).toBe('auto-map');
    expect(readConfig(path)['espalier']).toMatchObject({ widths: { 'block.0.attention': 1 } });
    expect(await readManifest(path)).toMatchObject({
      source: { parameters: (await openModel(source)).summary.parameters },
      widths: { 'block.1.attention': 1 },
    });
    const { summary } = await openModel(path);
    const [before] = (await openModel(source)).summary.sublayers;
    expect(summary.sublayers[0]?.kvBytesPerToken).toBe((before?.kvBytesPerToken ?? 0) / 2);
    const again = await pruneWidths(path, { remove: ['block.0.feedforward'] }, 'again');
    expect((await openModel(again.path)).summary.widths).toEqual({ 'block.0.attention': 1 });
  });

  it('is a standard model if all MLPs have the same width', async () => {
    const model = await makeRandomModel({ seed: 5, blocks: 2, inner: 24 });
    const plan = [0, 1].map((block) => ({ sublayer: `block.${block}.feedforward`, remove: '4-7' }));
    const { path, layout } = await pruneWidths(model, { widths: plan }, 'even');
    expect(layout).toBe('blocks');
    expect(readConfig(path)).toMatchObject({ model_type: 'llama', intermediate_size: 20 });
    expect(readConfig(path)).not.toHaveProperty('espalier');
    await rm(model, { recursive: true });
  });

  it('keeps the heads of its mixers, which config.json counts together', async () => {
    const source = join(root, 'minimax');
    cpSync(familyFixture('minimax'), source, { recursive: true });
    writeFileSync(
      join(source, 'config.json'),
      JSON.stringify({ ...readConfig(source), head_dim: 8 }),
    );
    const changes = { widths: [attention] };
    const { path, layout } = await pruneWidths(source, changes, 'minimax-widths');
    expect(layout).toBe('auto-map');
    expect(readConfig(path)).toMatchObject({ num_attention_heads: 4 });
    const expected = await computeLogits(
      await ignoring(source, 'safetensors', changes.widths),
      rows,
    );
    expect(relativeError(await computeLogits(path, rows), expected)).toBeLessThan(1e-5);
  });

  it('is written as nemotron-nas if sizes are multiples of 256', async () => {
    const model = await makeRandomModel({ seed: 5, blocks: 2, inner: 512 });
    const plan = [{ sublayer: 'block.1.feedforward', remove: '0-255' }];
    const { path } = await pruneWidths(model, { widths: plan }, 'deci', { layout: 'deci' });
    expect((await openModel(path)).summary.widths).toEqual({ 'block.1.feedforward': 256 });
    const odd = [{ sublayer: 'block.1.feedforward', remove: '0-99' }];
    await expect(
      pruneWidths(model, { widths: odd }, 'odd', { layout: 'deci' }),
    ).rejects.toMatchObject({ code: 'size-not-multiple' });
    await rm(model, { recursive: true });
  });

  it.each([
    [{ widths: [{ sublayer: 'block.0.attention', remove: '2' }] }, 'width-out-of-range'],
    [{ widths: [{ sublayer: 'block.0.attention', remove: '0-1' }] }, 'width-nothing-left'],
    [{ widths: [attention], remove: ['block.1'] }, 'width-of-removed-sublayer'],
  ] as const)('rejects a plan with missing channels or heads: %j', async (changes, code) => {
    await expect(pruneWidths(fixture('llama-gqa-untied'), changes, 'refused')).rejects.toFailWith({
      code,
      file: 'llama-gqa-untied',
      field: 'widths.0',
    });
  });

  it('offers the formats that support its widths, before anything is written', async () => {
    const model = await openModelFiles(fixture('llama-gqa-untied'));
    const answers = await listOutputs(model, { remove: [], widths: [attention, feedforward] });
    const able = answers.filter((answer) => answer.able);
    expect(able.map(({ format, layout }) => [format, layout])).toEqual([
      ['safetensors', 'auto-map'],
      ['onnx', undefined],
      ['gguf', 'deci'],
    ]);
  });

  it('is refused if single channels are indistinguishable', async () => {
    const changes = { widths: [{ sublayer: 'block.0.attention', remove: '0' }] };
    await expect(pruneWidths(fixture('gpt2'), changes, 'fused')).rejects.toFailWith({
      ...{ code: 'uneven-widths', file: 'gpt2', field: 'safetensors auto-map' },
    });
  });
});

const ggufModels = await Promise.all(
  ggufNames.map(async (name) => ({ name, model: await openModel(ggufFixture(`${name}.gguf`)) })),
);

/** By GGUF file, plans that remove equally many channels or heads from each sublayer of a kind, if all allow it. */
const evenly = (
  kind: 'attention' | 'feedforward',
): readonly [name: string, plan: PlannedWidthPruning[]][] =>
  ggufModels.flatMap(({ name, model }) => {
    const found = model.summary.sublayers.flatMap((sublayer, index) =>
      sublayer.kind === kind ? [{ id: sublayer.id, width: model.sublayer(index).width }] : [],
    );
    const step = Math.max(...found.map(({ width }) => width?.step ?? 0));
    const remove = formatRanges([...Array(Math.max(0, step)).keys()]);
    return found.length > 0 && found.every(({ width }) => width !== undefined && width.count > step)
      ? [[name, found.map(({ id }) => ({ sublayer: id, remove }))]]
      : [];
  });

const ggufFeatures = async ([name]: readonly [name: string, ...unknown[]]): Promise<string> =>
  layerFeatures(ggufFixture(`${name}.gguf`));
const narrowerFeedforwards = await sampled(evenly('feedforward'), ggufFeatures);
const narrowerAttentions = evenly('attention');
const writtenAttentions = await sampled(
  narrowerAttentions.filter(
    ([name]) => !['qwen2', 'gemma4-experts', 'gemma4-experts-apart'].includes(name),
  ),
  ggufFeatures,
);

describe('a width-pruned GGUF file', () => {
  let count = 0;
  const changed = async (
    name: string,
    plan: readonly PlannedWidthPruning[],
    more: Partial<PlanApplication> = {},
  ): Promise<string> => {
    const source = ggufFixture(`${name}.gguf`);
    const result = await pruneWidths(source, { widths: plan }, `${name}-without-${count++}`, more);
    expect(result.verification.relativeError).toBe(0);
    expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
    const expected = await computeLogits(await ignoring(source, 'itself', plan), rows);
    const written = join(result.path, `${name}.gguf`);
    expect(relativeError(await computeLogits(written, rows), expected)).toBeLessThan(1e-5);
    expect((await openModel(written)).summary.parameters).toBe(result.parametersAfter);
    return written;
  };

  const readArchitecture = async (file: string): Promise<unknown> =>
    (await readGgufHeader(file)).metadata.get('general.architecture');

  it.each(narrowerFeedforwards)(
    'of %s is a standard model if all MLPs have the same width',
    async (name, plan) => {
      const written = await changed(name, plan);
      expect(await readArchitecture(written)).toBe(
        await readArchitecture(ggufFixture(`${name}.gguf`)),
      );
    },
  );

  it.each(writtenAttentions)(
    'of %s is a standard model if all attention layers have the same heads',
    async (name, plan) => {
      const written = await changed(name, plan);
      const { metadata } = await readGgufHeader(written);
      const architecture = await readArchitecture(written);
      expect(architecture).toBe(await readArchitecture(ggufFixture(`${name}.gguf`)));
      expect(metadata.has(`${String(architecture)}.attention.key_length`)).toBe(true);
    },
  );

  it('is a deci model if blocks of a llama differ', async () => {
    const plan = [
      { sublayer: 'block.0.feedforward', remove: '32-63' },
      { sublayer: 'block.1.attention', remove: '1' },
    ];
    const written = await changed('llama', plan);
    expect(await readArchitecture(written)).toBe('deci');
    expect((await openModel(written)).summary.widths).toEqual({
      'block.0.feedforward': 64,
      'block.1.attention': 1,
    });
    const again = join(root, 'width-pruned-again');
    const model = await openModelFiles(written);
    const more = [{ sublayer: 'block.1.feedforward', remove: '0-31' }];
    const settings = { overwrite: false, device: 'cpu', memoryBytes: 1 << 28 } as const;
    const planned = planFor({ path: written }, { widths: more });
    await applyPlan({ model, plan: planned, out: again, ...settings }, unattended);
    expect((await openModel(join(again, 'llama.gguf'))).summary.widths).toEqual({
      'block.1.attention': 1,
    });
  });

  it('stores the size of heads if the first block of a deci model has fewer', async () => {
    const written = await changed('llama', [{ sublayer: 'block.0.attention', remove: '1' }]);
    const { metadata } = await readGgufHeader(written);
    expect(metadata.get('general.architecture')).toBe('deci');
    const heads = (await readGgufArray(
      written,
      '',
      metadata.get('deci.attention.head_count') as GgufArray,
    )) as number[];
    expect(heads[0]).toBeLessThan(heads[1] ?? 0);
    const width = Number(metadata.get('deci.embedding_length')) / (heads[1] ?? 1);
    for (const key of ['attention.key_length', 'attention.value_length', 'rope.dimension_count']) {
      expect(metadata.get(`deci.${key}`), key).toBe(width);
    }
  });

  it('has a list of sizes if llama.cpp reads one', async () => {
    const written = await changed('gemma4', [{ sublayer: 'block.2.feedforward', remove: '0-31' }]);
    const { metadata } = await readGgufHeader(written);
    const list = metadata.get('gemma4.feed_forward_length') as GgufArray;
    expect(await readGgufArray(written, '', list)).toEqual([64, 64, 96, 128]);
  });

  it.each([
    ['qwen2', [attention], 'uneven-widths', 'gguf blocks'],
    [
      'qwen2',
      narrowerAttentions.find(([name]) => name === 'qwen2')?.[1] ?? [],
      'uneven-widths',
      'gguf blocks',
    ],
    [
      'gemma4-keys-are-values',
      [{ ...attention, sublayer: 'block.0.attention' }],
      'uneven-widths',
      'gguf blocks',
    ],
    [
      'llama',
      [{ sublayer: 'block.0.feedforward', remove: '0-30' }],
      'width-not-aligned',
      'widths.0',
    ],
  ] as const)('of %s is refused if it cannot be written', async (name, plan, code, field) => {
    await expect(
      pruneWidths(ggufFixture(`${name}.gguf`), { widths: plan }, 'refused'),
    ).rejects.toFailWith({ code, file: `${name}.gguf`, field });
  });
});

describe('a width-pruned encoder', async () => {
  const channels = { sublayer: 'block.1.feedforward', remove: '0-2,5' };
  const head = { sublayer: 'block.0.attention', remove: '1' };

  const losing = [
    ['bert-classes', 'safetensors'],
    ['bert-classes', 'onnx'],
    ['roberta-masked', 'safetensors'],
    ['vit-classes', 'safetensors'],
    ['vit-classes', 'onnx'],
    ['wav2vec2-ctc', 'safetensors'],
    ['dinov2-registers', 'safetensors'],
    ['imagegpt-classes', 'safetensors'],
    ['bert-classes', 'safetensors', head],
    ['bert-classes', 'onnx', head],
    ['roberta-masked', 'safetensors', head],
    ['vit-classes', 'safetensors', head],
    ['clip-classes', 'safetensors', head],
    ['wav2vec2-ctc', 'safetensors', head],
    ['dinov2-registers', 'safetensors', head],
    ['dinov3-plain', 'safetensors', head],
    ['imagegpt-classes', 'onnx', head],
  ] as const;
  const distinct = await sampled(losing, async ([name, format, lost = channels]) => {
    return `${format} ${lost.sublayer} ${await layerFeatures(encoderFixture(name))}`;
  });

  it.each(distinct)(
    'of %s as %s equals the original without channels or heads',
    async (name, format, lost = channels) => {
      const source = encoderFixture(name);
      const { path, layout, verification } = await pruneWidths(
        source,
        { widths: [lost] },
        `${name}-${format}-${lost.sublayer}`,
        { format },
      );
      expect(verification.relativeError).toBeLessThan(1e-4);
      if (format === 'safetensors') {
        expect(layout).toBe('auto-map');
        const { examples } = encoderGolden(name);
        const expected = await encoderOutput(await ignoring(source, format, [lost]), examples);
        expect(relativeError(await encoderOutput(path, examples), expected)).toBeLessThan(1e-5);
      }
    },
  );

  it.each(['beit-classes', 'wavlm-classes', 'jina-bert'])(
    'of %s keeps heads with position tables, gates or slopes',
    async (name) => {
      await expect(
        pruneWidths(encoderFixture(name), { widths: [head] }, 'tables'),
      ).rejects.toFailWith({ code: 'width-not-prunable', file: name, field: 'widths' });
    },
  );

  it('is refused if transformers splits queries, keys and values itself', async () => {
    const source = encoderFixture('imagegpt-classes');
    await expect(pruneWidths(source, { widths: [head] }, 'split')).rejects.toFailWith({
      ...{ code: 'uneven-widths', file: source, field: 'safetensors auto-map' },
    });
  });

  it('is a standard model if all MLPs have the same width', async () => {
    const source = encoderFixture('bert-classes');
    const { sublayers } = (await openModel(source)).summary;
    const plan = sublayers.flatMap(({ id, kind }) =>
      kind === 'feedforward' ? [{ ...channels, sublayer: id }] : [],
    );
    const { path, layout } = await pruneWidths(source, { widths: plan }, 'even-bert');
    expect(layout).toBe('blocks');
    const { intermediate_size: before = 0 } = readConfig(source) as { intermediate_size?: number };
    expect(readConfig(path)).toMatchObject({ intermediate_size: before - 4 });
    expect(readConfig(path)).not.toHaveProperty('espalier');
  });
});

describe('ranges', () => {
  it.each(['0', '0-3,7', '5,7-9,11'])('%s are read after writing', (text) => {
    expect(formatRanges(parseRanges(text) ?? [])).toBe(text);
  });

  it.each(['3-1', '3,3', '0-3,2', '5,1'])('%s are refused', (text) => {
    const plan = planFor({ path: 'm' }, { widths: [{ ...attention, remove: text }] });
    expect(() => parsePlan(JSON.stringify(plan), 'a.plan.json')).toFailWith({
      code: 'field-invalid',
      file: 'a.plan.json',
      field: 'widths.0.remove',
    });
  });
});
