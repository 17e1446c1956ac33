import type { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { removeFromGraph } from '../../../extension/core/export/onnx/onnx-surgery';
import { openOnnxModel } from '../../../extension/core/models/onnx/onnx-model';
import { createSession } from '../../../extension/core/runtime/session';
import { relativeError } from '../fixtures';
import { sessionLogits, onnxCases, onnxFixture, readOnnxGolden } from '../onnx-fixtures';

/** Result of `use` on the graph without sublayers, opened. */
async function withSession<T>(
  name: string,
  ids: readonly string[],
  use: (session: InferenceSession) => T | Promise<T>,
): Promise<T> {
  const model = await openOnnxModel(onnxFixture(name));
  const indices = ids.map((id) => model.summary.sublayers.findIndex((known) => known.id === id));
  expect(indices).not.toContain(-1);
  const graph = await removeFromGraph(model, new Set(indices));
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}

const logitsWithout = async (
  name: string,
  ids: readonly string[],
  feeds = readOnnxGolden(name).feeds,
): Promise<Float32Array> => withSession(name, ids, (session) => sessionLogits(session, feeds));

describe('an ONNX graph written from its scanned structure', () => {
  it.each(onnxCases)('of %s has its logits, with weights from the file', async (name) => {
    const logits = await logitsWithout(name, []);
    const { logits: expected, tolerance } = readOnnxGolden(name);
    expect(relativeError(logits, expected)).toBeLessThan(tolerance);
  });
});

describe('an ONNX graph without sublayers', () => {
  // Weights without some experts have to be copied: see graph-writer.test.ts.
  const cases = onnxCases.filter(
    (name) => readOnnxGolden(name).removed?.ids.every((id) => !/\.expert\.\d+$/.test(id)) === true,
  );

  it.each(cases)('of %s has the logits of torch without them', async (name) => {
    const { removed, logits: dense, tolerance } = readOnnxGolden(name);
    const logits = await logitsWithout(name, removed?.ids ?? []);
    expect(relativeError(logits, removed?.logits ?? dense)).toBeLessThan(tolerance);
    expect(relativeError(logits, dense)).toBeGreaterThan(Math.max(1e-2, 2 * tolerance));
  });

  it.each(cases.filter((name) => readOnnxGolden(name).first !== undefined))(
    'of %s has the logits of torch also in its first step, without a cache',
    async (name) => {
      const { feeds, first, removed, tolerance } = readOnnxGolden(name);
      const given = { ...feeds, ...first?.feeds };
      const dense = await logitsWithout(name, [], given);
      expect(relativeError(dense, first?.logits ?? new Float32Array())).toBeLessThan(tolerance);
      const expected = first?.removedLogits ?? new Float32Array();
      const logits = await logitsWithout(name, removed?.ids ?? [], given);
      expect(relativeError(logits, expected)).toBeLessThan(tolerance);
      expect(relativeError(logits, dense)).toBeGreaterThan(1e-2);
    },
  );

  const cache = (block: number, kind = ''): string[] => [
    `past_key_values.${block}${kind}.key`,
    `past_key_values.${block}${kind}.value`,
  ];

  it.each([
    ['qwen3-intfour', ['block.0.attention'], cache(0)],
    // The mask's length is then asked of the other cache.
    ['gpt2-past', ['block.0.attention'], cache(0)],
    [
      'gpt2-past',
      ['block.0.attention', 'block.1.attention'],
      [...cache(0), ...cache(1), 'attention_mask'],
    ],
    ['gpt2-past', ['block.1.feedforward'], []],
    ['t5-past', ['block.1.attention'], cache(1, '.decoder')],
    ['t5-past', ['block.1.cross-attention'], cache(1, '.encoder')],
    // The range of the position bias is read from the keys, which therefore stay.
    ['t5-past', ['block.0.attention'], ['past_key_values.0.decoder.value']],
    // Of both branches of If.
    ['gpt2-merged', ['block.0.attention'], cache(0)],
    ['t5-merged', ['block.0.attention'], ['past_key_values.0.decoder.value']],
    ['t5-merged', ['block.1.attention'], cache(1, '.decoder')],
    // Also the output that is an empty constant in the one and made of the encoder's states in the other.
    ['t5-merged', ['block.1.cross-attention'], cache(1, '.encoder')],
    [
      'whisper-merged',
      ['block.0.attention', 'block.0.cross-attention'],
      [...cache(0, '.decoder'), ...cache(0, '.encoder')],
    ],
  ])(
    'of %s without %o has lost the inputs %o, and the outputs that go with them',
    async (name, ids, lost) => {
      const ports = ({ inputNames, outputNames }: InferenceSession): string[] => [
        ...inputNames,
        ...outputNames,
      ];
      const whole = await withSession(name, [], ports);
      const left = await withSession(name, ids, ports);
      const presents = lost.map((port) => port.replace('past_key_values', 'present'));
      const expected = whole.filter((port) => lost.includes(port) || presents.includes(port));
      expect(whole.filter((port) => !left.includes(port))).toEqual(expected);
      expect(expected.length).toBeGreaterThanOrEqual(lost.length);
    },
  );
});
