import { describe, expect, it } from 'vitest';
import type { Example } from '../../../../extension/core/models/example';
import { openModel } from '../../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../../extension/core/runtime/layered-executor';
import { relativeError } from '../../fixtures';
import { onnxCases, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';

/** The inputs of a fixture's golden run as an example of two rows. */
function exampleOf(name: string): Example {
  return Object.fromEntries(
    Object.entries(readOnnxGolden(name).feeds).map(([input, { type, dims, data }]) => [
      input,
      { dtype: type === 'int64' ? 'I64' : 'F32', dims, data: data as Float32Array },
    ]),
  );
}

async function logitsWithout(name: string, ids: readonly string[]): Promise<Float32Array> {
  const model = await openModel(onnxFixture(name));
  const executor = new LayeredExecutor(model, 'cpu', 1 << 30);
  try {
    let state = await executor.embed(exampleOf(name));
    for (const [index, { id }] of model.summary.sublayers.entries()) {
      [state = state] = ids.includes(id)
        ? await executor.skip(index, [state])
        : await executor.run(index, [state]);
    }
    return await executor.logits(state);
  } finally {
    await executor.dispose();
  }
}

describe('an ONNX graph run sublayer by sublayer', () => {
  const cases = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

  it.each(cases)('of %s gives the logits of the whole', async (name) => {
    const { logits, tolerance } = readOnnxGolden(name);
    expect(relativeError(await logitsWithout(name, []), logits)).toBeLessThan(tolerance);
  });

  it.each(cases)('of %s without sublayers gives the logits of torch without them', async (name) => {
    const { removed, logits: dense, tolerance } = readOnnxGolden(name);
    const logits = await logitsWithout(name, removed?.ids ?? []);
    expect(relativeError(logits, removed?.logits ?? dense)).toBeLessThan(tolerance);
  });
});

describe('an ONNX graph without residual branches', () => {
  it.each(['plain-dynamo', 'plain-legacy'])('of %s says that it has none', async (name) => {
    const model = await openModel(onnxFixture(name));
    expect(() => new LayeredExecutor(model, 'cpu', 1 << 30)).toThrow(
      /no residual branch, so there is no sublayer to remove/,
    );
  });
});
