import { describe, expect, it } from 'vitest';
import { openModel } from '../../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../../extension/core/runtime/layered-executor';
import { relativeError } from '../../fixtures';
import {
  makeExample,
  graphExample,
  logitsWithoutUnits,
  onnxCases,
  onnxFixture,
  readOnnxGolden,
} from '../../onnx-fixtures';

async function logitsWithout(name: string, ids: readonly string[]): Promise<Float32Array> {
  return logitsWithoutUnits(await openModel(onnxFixture(name)), graphExample(name), ids);
}

describe('an ONNX graph run sublayer by sublayer', () => {
  const cases = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

  it.each(cases)('of %s has the logits of the whole graph', async (name) => {
    const { logits, first, tolerance } = readOnnxGolden(name);
    const expected = first?.logits ?? logits;
    expect(relativeError(await logitsWithout(name, []), expected)).toBeLessThan(tolerance);
  });

  it.each(cases)('of %s without sublayers has the logits of torch without them', async (name) => {
    const { removed, first, logits: dense, tolerance } = readOnnxGolden(name);
    const logits = await logitsWithout(name, removed?.ids ?? []);
    const expected = first?.removedLogits ?? removed?.logits ?? dense;
    expect(relativeError(logits, expected)).toBeLessThan(tolerance);
  });

  it.each(cases.filter((name) => readOnnxGolden(name).first !== undefined))(
    'of %s has the logits of torch without them, also in the branch with a cache',
    async (name) => {
      const { removed, feeds, logits: dense, tolerance } = readOnnxGolden(name);
      const { graph } = await openModel(onnxFixture(name));
      const [cached] = graph?.otherModes ?? [];
      expect(cached?.graph?.settings).toMatchObject({
        use_cache_branch: { data: Uint8Array.of(1) },
      });
      expect(cached?.graph?.isCached).toBe(true);
      const logits =
        cached && (await logitsWithoutUnits(cached, makeExample(feeds), removed?.ids ?? []));
      const [actual, expected] = [logits ?? dense, removed?.logits ?? dense];
      expect(relativeError(actual, expected)).toBeLessThan(tolerance);
    },
  );
});

describe('an ONNX graph without residual branches', () => {
  it.each(['plain-dynamo', 'plain-legacy'])('of %s is reported as missing', async (name) => {
    const model = await openModel(onnxFixture(name));
    expect(() => new LayeredExecutor(model, 'cpu', 1 << 30)).toThrow(
      /no residual branch, so there is no sublayer to remove/,
    );
  });
});
