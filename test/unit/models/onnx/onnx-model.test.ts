import { describe, expect, it } from 'vitest';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import { onnxCases, onnxFixture } from '../../onnx-fixtures';

const blocks = (numbers: readonly number[], ...kinds: readonly string[]): string[] =>
  numbers.flatMap((block) => kinds.map((kind) => `block.${block}.${kind}`));
const transformer = blocks([0, 1], 'attention', 'feedforward');
const decoder = ['attention', 'cross-attention', 'feedforward'];
/** By the fixture's name without the exporter, or else with it. */
const expected: Readonly<Record<string, readonly string[]>> = {
  resnet: blocks([0, 1, 2, 3], 'convolution'),
  mobilenet: blocks([0, 1, 2], 'convolution'),
  mixtral: blocks([0, 1], 'attention', 'expert'),
  'qwen3-moe': blocks([0, 1], 'attention', 'expert'),
  gptoss: blocks([0, 1], 'attention', 'expert'),
  t5: [...transformer, ...blocks([2, 3], ...decoder)],
  't5-past': blocks([0, 1], ...decoder),
  't5-merged': blocks([0, 1], ...decoder),
  'whisper-merged': blocks([0, 1], ...decoder),
  'whisper-decoder': blocks([0, 1], ...decoder),
  plain: [],
  scan: blocks([0, 1, 2], 'attention', 'feedforward'),
  fori: blocks([0, 1, 2], 'attention', 'feedforward'),
};
const unrolled = ['scan', 'fori'];
const familyName = (name: string): string => name.replace(/-[a-z]+$/, '');

describe('the sublayers of an exported ONNX model', () => {
  it.each(onnxCases)('are found in %s', async (name) => {
    const { summary } = await openOnnxModel(onnxFixture(name));
    const ids = expected[name] ?? expected[familyName(name)] ?? transformer;
    expect(summary.sublayers.map(({ id }) => id)).toEqual(ids);
    const isTold = ids.length === 0 || unrolled.includes(familyName(name));
    expect(summary.warnings).toHaveLength(isTold ? 1 : 0);
    expect(summary.opset).toBeGreaterThanOrEqual(11);
    const nodes = Object.values(summary.ops).reduce((sum, count) => sum + count, 0);
    const sublayerSum = summary.sublayers.flatMap((sublayer) => sublayer.nodes);
    expect(new Set(sublayerSum).size).toBe(sublayerSum.length);
    expect(sublayerSum.length).toBeLessThan(nodes);
    const parameters = summary.sublayers.reduce((sum, sublayer) => sum + sublayer.parameters, 0);
    expect(parameters).toBeLessThan(summary.parameters);
  });

  it('weigh the same however a model was exported', async () => {
    const exporters = /-(?:dynamo|legacy|fused|dynamicquant|qdq)$/;
    // The legacy exporter takes T5's length from the shape of queries, whose weights so stay in use.
    const families = new Set(onnxCases.map(familyName).filter((family) => family !== 't5'));
    for (const family of families) {
      const bytes = await Promise.all(
        onnxCases
          .filter((name) => familyName(name) === family && exporters.test(name))
          .map(async (name) => {
            const { summary } = await openOnnxModel(onnxFixture(name));
            return summary.sublayers.map((sublayer) => sublayer.flopsPerToken);
          }),
      );
      for (const other of bytes.slice(1)) {
        expect(other, family).toEqual(bytes[0]);
      }
    }
  });
});
