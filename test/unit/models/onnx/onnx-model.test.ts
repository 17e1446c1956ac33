import { describe, expect, it } from 'vitest';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import { onnxCases, onnxFixture } from '../../onnx-fixtures';

const transformer = [0, 1].flatMap((block) => [
  `block.${block}.attention`,
  `block.${block}.feedforward`,
]);
const expected: Readonly<Record<string, readonly string[]>> = {
  'gpt-neox': ['block.0.parallel', 'block.1.parallel'],
  resnet: [0, 1, 2, 3].map((block) => `block.${block}.convolution`),
  plain: [],
};

describe('the sublayers of an exported ONNX model', () => {
  it.each(onnxCases)('are found in %s', async (name) => {
    const { summary } = await openOnnxModel(onnxFixture(name));
    const family = name.replace(/-[a-z]+$/, '');
    expect(summary.sublayers.map(({ id }) => id)).toEqual(expected[family] ?? transformer);
    expect(summary.warnings).toHaveLength(family === 'plain' ? 1 : 0);
    expect(summary.opset).toBeGreaterThanOrEqual(17);
    const nodes = Object.values(summary.ops).reduce((sum, count) => sum + count, 0);
    const inSublayers = summary.sublayers.flatMap((sublayer) => sublayer.nodes);
    expect(new Set(inSublayers).size).toBe(inSublayers.length);
    expect(inSublayers.length).toBeLessThan(nodes);
    const parameters = summary.sublayers.reduce((sum, sublayer) => sum + sublayer.parameters, 0);
    expect(parameters).toBeLessThan(summary.parameters);
    expect(summary.outputs.map((port) => port.name)).toEqual(['logits']);
  });

  it('weigh the same however a model was exported', async () => {
    for (const family of ['gpt2', 'llama', 'qwen3', 'gemma2', 'gpt-neox', 'vit', 'resnet']) {
      const bytes = await Promise.all(
        onnxCases
          .filter((name) => name.startsWith(family))
          .map(async (name) => {
            const { summary } = await openOnnxModel(onnxFixture(name));
            return summary.sublayers.map((sublayer) => sublayer.flopsPerToken);
          }),
      );
      for (const other of bytes) {
        expect(other, family).toEqual(bytes[0]);
      }
    }
  });
});
