import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openDecoder } from '../../../extension/core/generate/open-decoder';
import type { Decoder } from '../../../extension/core/generate/decoder';
import { openModel } from '../../../extension/core/models/open-model';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { inEnglish } from '../../../extension/core/message';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { CausalOnnxModel } from '../../../extension/core/runtime/causal-onnx-model';
import { prune } from '../export/pruning';
import { familyFixture, relativeError } from '../fixtures';
import { computeOutputs } from '../models/encodings/layered';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

const graph = (name: string): string =>
  join(import.meta.dirname, '..', '..', 'fixtures', 'onnx', name, 'model.onnx');

const open = async (
  path: string,
  removed: readonly string[],
): Promise<{ model: LayeredModel; decoder: Decoder }> => {
  const model = await openModel(path);
  const decoder = await openDecoder(model, { removed, device: 'cpu', memoryBytes: 1 << 30 });
  return { model, decoder };
};

/** Reads in pieces, one of them a single token; expects what the sublayers give of all at once. */
async function check(path: string, cut: number, removed: readonly string[] = []): Promise<void> {
  const { model, decoder } = await open(path, removed);
  const texts = [
    [[1, 2, 3, 4], [5], [6, 7]],
    [[8, 9, 10], [11]],
  ];
  const remaining = [1, 2].slice(0, cut);
  const all = texts.map((pieces, i) =>
    Int32Array.from([...(i === 0 ? [] : remaining), ...pieces.flat()]),
  );
  const expected = await computeOutputs(model, all, removed);
  try {
    expect(decoder.rereads).toBeUndefined();
    let row = 0;
    for (const [i, pieces] of texts.entries()) {
      row += i === 0 ? 0 : cut;
      for (const ids of pieces) {
        const logits = await decoder.read(Int32Array.from(ids));
        row += ids.length;
        const own = expected.slice((row - 1) * logits.length, row * logits.length);
        expect(relativeError(logits, own)).toBeLessThan(2e-5);
      }
      expect(decoder.rewind(99)).toBe(i === 0 ? 7 : cut + 4);
      expect(decoder.rewind(2)).toBe(cut);
    }
  } finally {
    await decoder.dispose();
  }
}

it.each([
  'mamba-small',
  'falcon_h1-scaled',
  'kimi_linear-small',
  'qwen3_next-small',
  'lfm2',
  'minimax',
  'recurrent_gemma',
  'zamba2',
])('%s has the same outputs with cached SSM states, which cannot be truncated', async (name) => {
  await check(familyFixture(name), 0);
});

it.each(
  ['gemma3n_text', 'gemma4_text', 'diffllama', 'deepseek_v4'].flatMap((name) => [
    [name, []],
    [name, ['block.1.attention']],
  ]),
)('%s without %j has the same outputs with a cache', async (name, removed) => {
  await check(familyFixture(name), 2, removed);
});

it.each([
  ['gpt2-past', []],
  ['qwen3-moe-past', []],
  ['llama-genai', []],
  ['gptoss-genai', ['block.1.attention']],
  ['gpt2-merged', ['block.0.attention']],
] as const)(
  '%s of another exporter has the same outputs with its own cache',
  async (name, removed) => {
    await check(graph(name), 2, removed);
  },
);

it('mixers written as ONNX keep their states, too', async () => {
  const out = join(folder, 'bamba');
  await prune(familyFixture('bamba-small'), [], out, { format: 'onnx' });
  await check(join(out, 'model.onnx'), 0);
});

it('a graph without single experts reads all tokens again, because its remaining weights are not contiguous', async () => {
  const removed = ['block.0.expert.0'];
  const { model, decoder } = await open(graph('gptoss-genai'), removed);
  expect(decoder.rereads && inEnglish(decoder.rereads)).toBe('single experts are left out.');
  const ids = Int32Array.of(1, 2, 3);
  const expected = await computeOutputs(model, [ids], removed);
  const logits = await decoder.read(ids);
  expect(relativeError(logits, expected.slice(-logits.length))).toBeLessThan(1e-6);
  await decoder.dispose();
});

it('a decoder that reads single tokens restarts for many new ones', async () => {
  const { decoder } = await open(graph('gpt2-merged'), []);
  await decoder.read(Int32Array.of(1, 2, 3));
  expect(decoder.rewind(2, 4)).toBe(2);
  expect(decoder.rewind(2, 5)).toBe(0);
  await decoder.dispose();
});

it('a graph without a cache says so and reads all tokens again', async () => {
  const removed = ['block.0.attention'];
  const { model, decoder } = await open(graph('gpt2-legacy'), removed);
  expect(decoder.rereads && inEnglish(decoder.rereads)).toBe('the graph has no key/value cache.');
  const first = await decoder.read(Int32Array.of(1, 2));
  expect(decoder.rewind(1)).toBe(1);
  const second = await decoder.read(Int32Array.of(3));
  const third = await decoder.read(Int32Array.of(4));
  await decoder.dispose();
  const expected = await computeOutputs(
    model,
    [Int32Array.of(1, 2), Int32Array.of(1, 3, 4)],
    removed,
  );
  for (const [logits, row] of [
    [first, 1],
    [second, 3],
    [third, 4],
  ] as const) {
    const own = expected.slice(row * logits.length, (row + 1) * logits.length);
    expect(relativeError(logits, own)).toBeLessThan(1e-6);
  }
});

it('a cache in half precision begins empty, grows and is cut', async () => {
  const builder = new GraphBuilder('half');
  const ids = builder.input('input_ids', DataType.INT64, ['batch', 'sequence']);
  const past = builder.input('past_0', DataType.FLOAT16, ['batch', 'past', 2]);
  const halves = builder.op('Cast', [ids], { to: DataType.FLOAT16 });
  const pairs = builder.op('Expand', [
    builder.op('Unsqueeze', [halves, builder.ints([2])]),
    builder.ints([1, 1, 2]),
  ]);
  const present = builder.op('Concat', [past, pairs], { axis: 1 });
  const sums = builder.reduce('ReduceSum', present, [1], 1);
  builder.output('present_0', present, DataType.FLOAT16);
  builder.output('logits', builder.op('Cast', [sums], { to: DataType.FLOAT }), DataType.FLOAT);
  const model = await CausalOnnxModel.build(builder, { device: 'cpu' });
  const step = (inputIds: number[][]) => ({
    inputIds,
    attentionMask: inputIds,
    positionIds: inputIds,
  });
  const first = await model.run(
    step([
      [1, 2, 3],
      [4, 5, 6],
    ]),
    model.emptyCache(2),
  );
  expect([...first.logits]).toEqual([6, 6, 15, 15]);
  expect(model.firstPositions(first.cache, 2, 1)).toBeUndefined();
  const cut = model.firstPositions(first.cache, 3, 1) ?? {};
  const then = await model.run(step([[0], [0]]), cut);
  expect([...then.logits]).toEqual([1, 1, 4, 4]);
  await model.dispose();
});
