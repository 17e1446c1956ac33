import { describe, expect, it } from 'vitest';
import { join } from 'node:path';
import type { LayeredModel } from '../../../../extension/core/models/layered-model';
import { valuesRead } from '../../../../extension/core/models/onnx/edits/graph-remains';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { describePatch } from '../../../../extension/core/models/patch/symbolic-patch';
import { graphExample, onnxCases, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';
import { rejection } from '../../export/pruning';
import { temporaryFolder } from '../../temporary-folder';
import { relativeError } from '../../fixtures';
import { layerFeatures, sampled } from '../../sample';
import { patchMaker } from '../../some-patch';
import { testEncodings } from './encoding-cases';
import {
  denseForm,
  floatForms,
  listLayers,
  computeOutputs,
  quantizedForms,
  withEncodings,
} from './layered';
import { contracted } from './made-forms';

const folder = temporaryFolder();

const withLayers = onnxCases.filter(
  (name) =>
    readOnnxGolden(name).removed !== undefined &&
    !/^(?:resnet|gpt2-dynamicquant|bert-dynamicquant|qwen3-intfour|qwen3-groups-intfour)/.test(
      name,
    ),
);

testEncodings(
  (await sampled(withLayers, (name) => layerFeatures(onnxFixture(name)))).map((name) => ({
    name,
    path: onnxFixture(name),
    input: () => graphExample(name),
    ...(name.includes('half') ? { tolerance: 5e-3 } : {}),
  })),
  folder,
);

describe('the linear layers of a graph', () => {
  it.each(['llama-legacy', 'llama-dynamo', 'qwen3-legacy'])(
    'of %s are recognized by the names of exporters',
    async (name) => {
      const model = await OnnxLayeredModel.open(onnxFixture(name));
      const roles = model.summary.sublayers.map((_, index) =>
        model.sublayer(index).linearLayers.map(({ role }) => role),
      );
      const attention = ['query', 'key', 'value', 'output'].sort();
      const feedforward = ['gate', 'up', 'down'].sort();
      expect(roles.map((all) => [...all].sort())).toEqual(
        model.summary.sublayers.map(({ kind }) => (kind === 'attention' ? attention : feedforward)),
      );
    },
  );

  it('return the input of queries, keys and values once', async () => {
    const model = await OnnxLayeredModel.open(onnxFixture('llama-legacy'));
    const { taps, part } = model.sublayer(0).tapped;
    expect(taps.size).toBe(4);
    expect(new Set(taps.values()).size).toBe(2);
    expect(part.outputs.filter((output) => output.startsWith('tap.'))).toHaveLength(2);
  });

  it.each([
    ['mixtral-dynamo', 'model.model.layers.0.mlp.gate.weight', /it chooses experts/],
    ['t5-past', 'decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight', /Gather/],
  ])('of %s do not include %s, and why', async (name, weight, problem) => {
    const model = await OnnxLayeredModel.open(onnxFixture(name));
    expect(listLayers(model).map(({ id }) => id)).not.toContain(weight);
    expect(model.unusableMatrices.find((one) => one.name === weight)?.problem).toMatch(problem);
  });

  it.each(['llama-legacy', 'bert-legacy'])(
    'of %s leave no tensors when their encoding changes again',
    async (name) => {
      const model = await OnnxLayeredModel.open(onnxFixture(name));
      const file = (which: string): string => join(folder, `${name}-${which}.safetensors`);
      const wanted = await withEncodings(model, file('once'), quantizedForms(listLayers(model)));
      const first = await withEncodings(model, file('first'), floatForms(listLayers(model)));
      const again = await withEncodings(first, file('again'), quantizedForms(listLayers(first)));
      const unread = (of: LayeredModel): string[] => {
        const { file: graphFile } = of instanceof OnnxLayeredModel ? of.source : model.source;
        const read = valuesRead(graphFile.graph);
        const stored = graphFile.graph.initializer.map((tensor) => tensor.name);
        return [...new Set([...graphFile.initializers.keys(), ...stored])].filter(
          (tensor) => !read.has(tensor),
        );
      };
      expect(again).not.toBe(model);
      expect(unread(again)).toEqual(unread(model));
      const example = graphExample(name);
      expect(await computeOutputs(again, [example])).toEqual(
        await computeOutputs(wanted, [example]),
      );
    },
  );

  it.each(['llama-legacy', 'gpt2-past'])(
    'of %s support other encodings together with patches, which stay',
    async (name) => {
      const model = await OnnxLayeredModel.open(onnxFixture(name));
      const id = 'block.0.attention';
      const patch = await patchMaker(folder)(model.sublayer(0).patchWidth ?? 16);
      const patched = model.withPatches(new Map([[id, patch]]));
      expect(patched.summary.sublayers[0]).toMatchObject({ id, kind: 'patch' });
      const file = join(folder, `${name}-patched.safetensors`);
      // The patch's own matrices are none of the model without it.
      const forms = floatForms(listLayers(patched).filter(({ sublayer }) => sublayer > 0));
      const formed = await withEncodings(patched, file, forms);
      expect(formed.summary.patches).toEqual({ [id]: describePatch(patch) });
      const named = ({ summary }: LayeredModel) =>
        summary.sublayers.map((one) => [one.id, one.block, one.kind]);
      expect(named(formed)).toEqual(named(patched));
      const other = await withEncodings(model, file, forms);
      const example = graphExample(name);
      const [actual, wanted] = [
        await computeOutputs(formed, [example]),
        await computeOutputs(other.withPatches(new Map([[id, patch]])), [example]),
      ];
      expect(relativeError(actual, wanted)).toBeLessThan(1e-6);
    },
  );

  it('use standard operators for quantization blocks if the opset has them, otherwise report why not', async () => {
    const old = await OnnxLayeredModel.open(onnxFixture('llama-legacy'));
    const blocks = (model: OnnxLayeredModel) => quantizedForms(listLayers(model), true);
    const refused = withEncodings(old, join(folder, 'old.safetensors'), blocks(old));
    expect((await rejection(refused)).message).toMatch(
      /need opset 21, but the graph has opset 17\. Choose MatMulNBits, or export/,
    );
    const model = await OnnxLayeredModel.open(onnxFixture('llama-genai'));
    expect(model.source.summary.opset).toBeGreaterThanOrEqual(21);
    const forms = blocks(model);
    const plain = listLayers(model).map((layer) => {
      const form = forms.get(layer.id);
      return [layer.id, denseForm(form ? contracted(form) : new Float32Array(), layer)] as const;
    });
    const formed = await withEncodings(model, join(folder, 'new.safetensors'), forms);
    const expected = await withEncodings(model, join(folder, 'plain.safetensors'), new Map(plain));
    const example = graphExample('llama-genai');
    const [actual, wanted] = [
      await computeOutputs(formed, [example]),
      await computeOutputs(expected, [example]),
    ];
    expect(relativeError(actual, wanted)).toBeLessThan(0.03);
  });
});
