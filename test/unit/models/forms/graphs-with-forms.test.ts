import { describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { graphExample, onnxCases, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';
import { rejection } from '../../export/pruning';
import { temporaryFolder } from '../../temporary-folder';
import { relativeError } from '../../fixtures';
import { testForms } from './form-cases';
import { denseForm, layersOf, outputsOf, quantizedForms, withForms } from './layered';
import { contracted } from './made-forms';

const folder = temporaryFolder();

const withLayers = onnxCases.filter(
  (name) =>
    readOnnxGolden(name).removed !== undefined &&
    !/^(?:resnet|gpt2-dynamicquant|bert-dynamicquant|qwen3-intfour)/.test(name),
);

testForms(
  withLayers.map((name) => ({
    name,
    path: onnxFixture(name),
    input: () => graphExample(name),
    ...(name.includes('half') ? { tolerance: 5e-3 } : {}),
  })),
  folder,
);

describe('the linear layers of a graph', () => {
  it.each(['llama-legacy', 'llama-dynamo', 'qwen3-legacy'])(
    'of %s are told apart by what exporters call them',
    async (name) => {
      const model = await OnnxLayeredModel.open(onnxFixture(name));
      const roles = model.summary.sublayers.map((_, index) =>
        model.linearLayers(index).map(({ role }) => role),
      );
      const attention = ['query', 'key', 'value', 'output'].sort();
      const feedforward = ['gate', 'up', 'down'].sort();
      expect(roles.map((all) => [...all].sort())).toEqual(
        model.summary.sublayers.map(({ kind }) => (kind === 'attention' ? attention : feedforward)),
      );
    },
  );

  it('give what goes into queries, keys and values once', async () => {
    const model = await OnnxLayeredModel.open(onnxFixture('llama-legacy'));
    const { taps, part } = model.tapped(0);
    expect(taps.size).toBe(4);
    expect(new Set(taps.values()).size).toBe(2);
    expect(part.outputs.filter((output) => output.startsWith('tap.'))).toHaveLength(2);
  });

  it.each([
    ['mixtral-dynamo', 'model.model.layers.0.mlp.gate.weight', /it chooses experts/],
    ['t5-past', 'decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight', /Gather/],
  ])('of %s do not include %s, and why', async (name, weight, problem) => {
    const model = await OnnxLayeredModel.open(onnxFixture(name));
    expect(layersOf(model).map(({ id }) => id)).not.toContain(weight);
    expect(model.unusableMatrices.find((one) => one.name === weight)?.problem).toMatch(problem);
  });

  it('take blocks in standard operators where the opset has them, and else say so', async () => {
    const old = await OnnxLayeredModel.open(onnxFixture('llama-legacy'));
    const blocks = (model: OnnxLayeredModel) => quantizedForms(layersOf(model), true);
    const refused = withForms(old, join(folder, 'old.safetensors'), blocks(old));
    expect((await rejection(refused)).message).toMatch(
      /need opset 21, and the graph is of opset 17\. Choose MatMulNBits, or export/,
    );
    const model = await OnnxLayeredModel.open(onnxFixture('llama-genai'));
    expect(model.source.summary.opset).toBeGreaterThanOrEqual(21);
    const forms = blocks(model);
    const plain = layersOf(model).map((layer) => {
      const form = forms.get(layer.id);
      return [layer.id, denseForm(form ? contracted(form) : new Float32Array(), layer)] as const;
    });
    const formed = await withForms(model, join(folder, 'new.safetensors'), forms);
    const expected = await withForms(model, join(folder, 'plain.safetensors'), new Map(plain));
    const example = graphExample('llama-genai');
    const [actual, wanted] = [
      await outputsOf(formed, [example]),
      await outputsOf(expected, [example]),
    ];
    expect(relativeError(actual, wanted)).toBeLessThan(0.03);
  });
});
