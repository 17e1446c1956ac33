import { cp, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import { parseRanges } from '../../../extension/core/models/width-pruning/number-ranges';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { attribute, valueInfo } from '../../../extension/core/onnx/messages';
import {
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from '../../../extension/core/onnx/proto/onnx_pb';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import type { PlannedWidthPruning } from '../../../extension/core/models/width-pruning/width';
import { planFor } from '../../../extension/core/plans/plan';
import { rejection } from '../export/pruning';
import { relativeError } from '../fixtures';
import { onnxFixture, readOnnxGolden } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { ignoringIn, pruneWidthsIn, computeOutput } from './width-pruning';

const root = temporaryFolder();
const pruneWidths = pruneWidthsIn(root);
const ignoring = ignoringIn(root);

describe('a width-pruned ONNX file', () => {
  const channels = '0-2,5,11';

  it.each([
    'bert-dynamo',
    'bert-fused',
    'bert-legacy',
    'gemma2-legacy',
    'gpt-neox-dynamo',
    'gpt2-fused',
    'llama-dynamo',
    'llama-genai',
    'llama-half-legacy',
    'phi-legacy',
    'qwen3-dynamo',
    't5-legacy',
    'vit-legacy',
    'whisper-decoder-dynamo',
    'whisper-encoder-legacy',
  ])('of %s equals the original without the channels', async (name) => {
    const source = onnxFixture(name);
    const model: LayeredModel = await openModel(source);
    const plan = model.summary.sublayers.flatMap(({ id, kind }) =>
      kind === 'feedforward' ? [{ sublayer: id, remove: channels }] : [],
    );
    expect(plan.length).toBeGreaterThan(0);
    const result = await pruneWidths(source, { widths: plan }, `${name}-cut`);
    expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
    const zeroed = await ignoring(dirname(source), 'onnx', plan);
    const { feeds, tolerance } = readOnnxGolden(name);
    const expected = await computeOutput(join(zeroed, 'model.onnx'), feeds);
    const actual = await computeOutput(join(result.path, 'model.onnx'), feeds);
    expect(relativeError(actual, expected)).toBeLessThan(Math.max(tolerance, 1e-5));
    const again: LayeredModel = await openModel(join(result.path, 'model.onnx'));
    const index = again.summary.sublayers.findIndex(({ id }) => id === plan[0]?.sublayer);
    const before = model.sublayer(index).width?.count ?? 0;
    expect(again.sublayer(index).width?.count).toBe(before - (parseRanges(channels)?.length ?? 0));
  });

  it('after DequantizeLinear is pruned with its scales', async () => {
    const folder = join(root, 'dequantized');
    await cp(dirname(onnxFixture('bert-legacy')), folder, { recursive: true });
    const file = join(folder, 'model.onnx');
    const layered: LayeredModel = await openModel(file);
    const index = layered.summary.sublayers.findIndex(({ id }) => id === 'block.0.feedforward');
    const model = fromBinary(ModelProtoSchema, await readFile(file));
    const { graph } = model;
    for (const { id, weight, role } of graph === undefined
      ? []
      : layered.sublayer(index).linearLayers) {
      const [rows = 0, columns = 0] = weight.shape;
      const codes = Int8Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 199) - 99);
      // For each channel: a column of the first matrix, a row of the last.
      const axis = role === 'down' ? 0 : 1;
      const scales = Float32Array.from(
        { length: [rows, columns][axis] ?? 0 },
        (_, i) => 1e-3 * (1 + i),
      );
      const tensor = (name: string, dataType: number, dims: number[], numbers: ArrayBufferView) =>
        create(TensorProtoSchema, {
          ...{ name, dataType, dims: dims.map(BigInt) },
          rawData: new Uint8Array(numbers.buffer),
        });
      graph?.initializer.push(
        tensor(`${id}/codes`, 3, [rows, columns], codes),
        tensor(`${id}/scales`, 1, [scales.length], scales),
      );
      const remaining = graph?.initializer.filter(({ name }) => name !== id) ?? [];
      graph?.initializer.splice(0, Number.POSITIVE_INFINITY, ...remaining);
      const reader = graph?.node.findIndex(({ input }) => input.includes(id)) ?? 0;
      const made = { name: `${id}/wide`, opType: 'DequantizeLinear', output: [id] };
      graph?.node.splice(
        reader,
        0,
        create(NodeProtoSchema, {
          ...{ ...made, input: [`${id}/codes`, `${id}/scales`] },
          attribute: [attribute('axis', axis)],
        }),
      );
    }
    await writeFile(file, toBinary(ModelProtoSchema, model));
    const plan = [{ sublayer: 'block.0.feedforward', remove: channels }];
    const { path } = await pruneWidths(file, { widths: plan }, 'dequantized-cut');
    const zeroed = await ignoring(folder, 'dequantized', plan);
    const { feeds } = readOnnxGolden('bert-legacy');
    const expected = await computeOutput(join(zeroed, 'model.onnx'), feeds);
    const actual = await computeOutput(join(path, 'model.onnx'), feeds);
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  it('in few bits is pruned by whole quantization blocks of channels', async () => {
    const source = onnxFixture('qwen3-groups-intfour');
    const plan = [0, 1].map((block) => ({
      sublayer: `block.${block}.feedforward`,
      remove: '32-63',
    }));
    const { path } = await pruneWidths(source, { widths: plan }, 'few-bits');
    const zeroed = await ignoring(dirname(source), 'few-bits', plan);
    const { feeds } = readOnnxGolden('qwen3-groups-intfour');
    const expected = await computeOutput(join(zeroed, 'model.onnx'), feeds);
    const actual = await computeOutput(join(path, 'model.onnx'), feeds);
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    const part = [{ sublayer: 'block.0.feedforward', remove: '0-15' }];
    const error = await rejection(pruneWidths(source, { widths: part }, 'part'));
    expect(error).toFailWith({ code: 'width-not-aligned', file: 'model.onnx', field: 'widths.0' });
  });

  it('updates the shapes of weights that an exporter lists as inputs', async () => {
    const folder = join(root, 'weights-as-inputs');
    await cp(dirname(onnxFixture('bert-legacy')), folder, { recursive: true });
    const file = join(folder, basename(onnxFixture('bert-legacy')));
    const model = fromBinary(ModelProtoSchema, await readFile(file));
    const listed = (model.graph?.initializer ?? []).map(({ name, dataType, dims }) =>
      valueInfo(name, dataType, dims.map(Number)),
    );
    expect(listed.length).toBeGreaterThan(0);
    model.graph?.input.push(...listed);
    await writeFile(file, toBinary(ModelProtoSchema, model));
    const plan = [{ sublayer: 'block.0.feedforward', remove: channels }];
    const { path } = await pruneWidths(file, { widths: plan }, 'inputs-cut');
    const { feeds } = readOnnxGolden('bert-legacy');
    const zeroed = await ignoring(folder, 'onnx', plan);
    const expected = await computeOutput(join(zeroed, 'model.onnx'), feeds);
    const actual = await computeOutput(join(path, 'model.onnx'), feeds);
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  it('updates blocks and widths in config.json if all blocks have the same ones', async () => {
    const folder = join(root, 'with-config');
    await cp(dirname(onnxFixture('llama-legacy')), folder, { recursive: true });
    const file = join(folder, 'model.onnx');
    const sizes = { hidden_size: 16, num_attention_heads: 4, num_key_value_heads: 2 };
    const config = {
      ...{ model_type: 'llama', ...sizes, intermediate_size: 24, vocab_size: 48 },
      ...{ num_hidden_layers: 2, layer_types: ['full_attention', 'sliding_attention'] },
    };
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    const written = async (
      widthPruned: readonly PlannedWidthPruning[],
      out: string,
      remove: string[] = [],
    ) => {
      const warnings: string[] = [];
      const { path } = await applyPlan(
        {
          model: await openModelFiles(file),
          plan: planFor({ path: file }, { widths: [...widthPruned], remove }),
          out: join(root, out),
          ...({ overwrite: false, device: 'cpu', memoryBytes: 1 << 28 } as const),
        },
        { ...unattended, warn: (message) => warnings.push(inEnglish(message)) },
      );
      const text = await readFile(join(path, 'config.json'), 'utf8');
      return { config: JSON.parse(text) as Record<string, unknown>, warnings };
    };
    const blocks = [0, 1];
    const channelsOut = (block: number) => ({
      ...{ sublayer: `block.${block}.feedforward`, remove: channels },
    });
    const headsOut = (block: number) => ({ sublayer: `block.${block}.attention`, remove: '0' });
    const even = await written([...blocks.map(channelsOut), ...blocks.map(headsOut)], 'even');
    expect(even.warnings).toEqual([]);
    expect(even.config).toEqual({
      ...{ ...config, intermediate_size: 19, head_dim: 4 },
      ...{ num_attention_heads: 2, num_key_value_heads: 1 },
    });
    // A completely removed sublayer has no width.
    const removedIds = ['block.1.attention', 'block.1.feedforward'];
    const first = await written([channelsOut(0), headsOut(0)], 'first', removedIds);
    expect(first.config).toMatchObject({ intermediate_size: 19, num_key_value_heads: 1 });
    expect(first.config).toMatchObject({ num_hidden_layers: 1, layer_types: ['full_attention'] });
    expect(first.warnings).toEqual([]);
    const shorter = await written([], 'shorter', ['block.0.attention', 'block.0.feedforward']);
    expect(shorter.config).toEqual({
      ...config,
      ...{ num_hidden_layers: 1, layer_types: ['sliding_attention'] },
    });
    expect((await written([], 'as-long', removedIds.slice(1))).config).toEqual(config);
    const uneven = await written([channelsOut(0), headsOut(1)], 'uneven');
    expect(uneven.config).toEqual(config);
    expect(uneven.warnings).toEqual([
      'config.json keeps the original widths of MLPs, attention layers, because it has no fields for the new ones. espalier.json lists them.',
    ]);
  });

  it.each(['gpt2-legacy', 'mixtral-dynamo', 'resnet-dynamo', 'qwen3-intfour'])(
    'of %s keeps its channels, which are indistinguishable',
    async (name) => {
      const model: LayeredModel = await openModel(onnxFixture(name));
      const others = model.summary.sublayers.flatMap(({ kind }, index) =>
        kind === 'attention' ? [] : [model.sublayer(index).width],
      );
      expect(others.length).toBeGreaterThan(0);
      expect(others.every((width) => width === undefined)).toBe(true);
    },
  );
});
