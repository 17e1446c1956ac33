import { describe, expect, it } from 'vitest';
import { removeFromGraph } from '../../../extension/core/export/onnx-surgery';
import { openOnnxModel } from '../../../extension/core/models/onnx/onnx-model';
import { createSession } from '../../../extension/core/runtime/session';
import { relativeError } from '../fixtures';
import { logitsOfSession, onnxCases, onnxFixture, readOnnxGolden } from '../onnx-fixtures';

async function logitsWithout(name: string, ids: readonly string[]): Promise<Float32Array> {
  const model = await openOnnxModel(onnxFixture(name));
  const indices = ids.map((id) => model.summary.sublayers.findIndex((known) => known.id === id));
  expect(indices).not.toContain(-1);
  const graph = await removeFromGraph(model, new Set(indices));
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  try {
    return await logitsOfSession(session, readOnnxGolden(name).feeds);
  } finally {
    await session.release();
  }
}

describe('an ONNX graph written from its scanned structure', () => {
  it.each(onnxCases)('of %s gives its logits, weights taken from the file', async (name) => {
    const logits = await logitsWithout(name, []);
    const { logits: expected, tolerance } = readOnnxGolden(name);
    expect(relativeError(logits, expected)).toBeLessThan(tolerance);
  });
});

describe('an ONNX graph without sublayers', () => {
  const cases = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

  it.each(cases)('of %s gives the logits of torch without them', async (name) => {
    const { removed, logits: dense, tolerance } = readOnnxGolden(name);
    const logits = await logitsWithout(name, removed?.ids ?? []);
    expect(relativeError(logits, removed?.logits ?? dense)).toBeLessThan(tolerance);
    expect(relativeError(logits, dense)).toBeGreaterThan(Math.max(1e-2, 2 * tolerance));
  });
});
