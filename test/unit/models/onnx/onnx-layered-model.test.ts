import { describe, expect, it } from 'vitest';
import type { Tensor } from 'onnxruntime-node';
import type { Example } from '../../../../extension/core/models/model-input';
import type { LayeredModel } from '../../../../extension/core/models/layered-model';
import { openModel } from '../../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../../extension/core/runtime/layered-executor';
import { relativeError } from '../../fixtures';
import { onnxCases, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';

const dtypes: Readonly<Record<string, string>> = { int32: 'I32', int64: 'I64', bool: 'BOOL' };

/** The inputs of a fixture's golden run as an example of two rows. */
function exampleOf(feeds: Record<string, Tensor>): Example {
  return Object.fromEntries(
    Object.entries(feeds).map(([input, { type, dims, data }]) => [
      input,
      { dtype: dtypes[type] ?? 'F32', dims, data: data as Float32Array },
    ]),
  );
}

async function logitsWithout(name: string, ids: readonly string[]): Promise<Float32Array> {
  const { feeds, first } = readOnnxGolden(name);
  const opened = await openModel(onnxFixture(name));
  return runWithout(opened, exampleOf({ ...feeds, ...first?.feeds }), ids);
}

async function runWithout(
  model: LayeredModel,
  example: Example,
  ids: readonly string[],
): Promise<Float32Array> {
  const executor = new LayeredExecutor(model, 'cpu', 1 << 30);
  try {
    const removed = new Set(ids.flatMap((id) => executor.units.numberOf(id) ?? []));
    expect(removed.size).toBe(ids.length);
    let state = await executor.embed(example);
    for (const index of model.summary.sublayers.keys()) {
      [state = state] = await executor.pass(index, [state], removed);
    }
    return await executor.logits(state);
  } finally {
    await executor.dispose();
  }
}

describe('an ONNX graph run sublayer by sublayer', () => {
  const cases = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

  it.each(cases)('of %s gives the logits of the whole', async (name) => {
    const { logits, first, tolerance } = readOnnxGolden(name);
    const expected = first?.logits ?? logits;
    expect(relativeError(await logitsWithout(name, []), expected)).toBeLessThan(tolerance);
  });

  it.each(cases)('of %s without sublayers gives the logits of torch without them', async (name) => {
    const { removed, first, logits: dense, tolerance } = readOnnxGolden(name);
    const logits = await logitsWithout(name, removed?.ids ?? []);
    const expected = first?.removedLogits ?? removed?.logits ?? dense;
    expect(relativeError(logits, expected)).toBeLessThan(tolerance);
  });

  it.each(cases.filter((name) => readOnnxGolden(name).first !== undefined))(
    'of %s gives the logits of torch without them also in the branch that takes a cache',
    async (name) => {
      const { removed, feeds, logits: dense, tolerance } = readOnnxGolden(name);
      const { otherModes } = await openModel(onnxFixture(name));
      const [cached] = otherModes ?? [];
      expect(cached?.settings).toMatchObject({ use_cache_branch: { data: Uint8Array.of(1) } });
      expect(cached?.isCached).toBe(true);
      const logits = cached && (await runWithout(cached, exampleOf(feeds), removed?.ids ?? []));
      const [actual, expected] = [logits ?? dense, removed?.logits ?? dense];
      expect(relativeError(actual, expected)).toBeLessThan(tolerance);
    },
  );
});

describe('an ONNX graph without residual branches', () => {
  it.each(['plain-dynamo', 'plain-legacy'])('of %s says that it has none', async (name) => {
    const model = await openModel(onnxFixture(name));
    expect(() => new LayeredExecutor(model, 'cpu', 1 << 30)).toThrow(
      /no residual branch, so there is no sublayer to remove/,
    );
  });
});
