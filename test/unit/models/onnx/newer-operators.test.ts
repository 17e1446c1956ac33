import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../../extension/core/models/open-model';
import { DataType } from '../../../../extension/core/onnx/graph-builder';
import { ModelProtoSchema, TensorProtoSchema } from '../../../../extension/core/onnx/proto/onnx_pb';
import type { TensorProto } from '../../../../extension/core/onnx/proto/onnx_pb';
import { prune } from '../../export/pruning';
import { relativeError } from '../../fixtures';
import { graph, intTensor, modelBytes, rawTensor } from '../../onnx-bytes';
import type { GraphText, NodeLine } from '../../onnx-bytes';
import {
  makeExample,
  sessionLogits,
  logitsWithoutUnits,
  onnxFixture,
  readOnnxGolden,
} from '../../onnx-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { openSession } from '../../whole-session';

const folder = temporaryFolder();
type Feeds = Readonly<Record<string, Tensor>>;

async function whole(path: string, feeds: Feeds): Promise<Float32Array> {
  const session: InferenceSession = await openSession(path);
  try {
    return await sessionLogits(session, feeds);
  } finally {
    await session.release();
  }
}

/** Opens, runs, prunes and writes a graph; gives the inputs that the written one has left. */
async function check(path: string, kinds: readonly string[], feeds: Feeds): Promise<string[]> {
  const model = await openModel(path);
  expect(model.summary.sublayers.map(({ id }) => id)).toEqual(kinds);
  const expected = await whole(path, feeds);
  expect(
    relativeError(await logitsWithoutUnits(model, makeExample(feeds), []), expected),
  ).toBeLessThan(1e-4);
  const removed = [kinds[0] ?? '', kinds.at(-1) ?? ''];
  const out = `${path}-pruned`;
  const result = await prune(path, removed, out, { format: 'onnx' });
  expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
  const stored = result.files.find((file) => file.name.endsWith('.onnx'));
  const written = join(out, stored?.name ?? '');
  const without = await logitsWithoutUnits(model, makeExample(feeds), removed);
  expect(relativeError(await whole(written, feeds), without)).toBeLessThan(1e-4);
  expect(relativeError(without, expected)).toBeGreaterThan(1e-3);
  const again = await openModel(written);
  expect(again.summary.sublayers).toHaveLength(kinds.length - 2);
  return again.inputs.map((port) => port.name);
}

/** The ids of two blocks of a mixing sublayer and a feed-forward. */
const listBlocks = (kind: string): string[] =>
  [0, 1].flatMap((block) => [`block.${block}.${kind}`, `block.${block}.feedforward`]);

const [hidden, inner, vocabulary, heads, groups, size] = [8, 12, 16, 4, 2, 2] as const;

/** Token mixing of a block: from `a` to `o` [batch, sequence, heads · size]; names start with `tag`. */
interface Mixing {
  readonly nodes: (tag: string) => readonly NodeLine[];
  readonly inputs?: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs?: Readonly<Record<string, readonly (number | string)[]>>;
}

/** Two blocks of attention and MLP after an embedding, in the operators of opset 23. */
function decoder(name: string, { nodes, inputs, outputs }: Mixing, opset: number): string {
  const matrices: Record<string, readonly number[]> = {
    table: [vocabulary, hidden],
    head: [hidden, vocabulary],
    norm: [hidden],
    out: [heads * size, hidden],
    up: [hidden, inner],
    down: [inner, hidden],
    q: [hidden, heads * size],
    k: [hidden, groups * size],
    v: [hidden, groups * size],
  };
  const own = ['q', 'k', 'v', 'out', 'up', 'down'];
  const block = (tag: string, x: string, y: string): NodeLine[] => [
    ['RMSNormalization', [x, 'norm'], [`${tag}a`], { epsilon: 1e-6 }],
    ...['q', 'k', 'v'].map((one): NodeLine => [
      'MatMul',
      [`${tag}a`, `${tag}${one}.w`],
      [`${tag}${one}`],
    ]),
    ...nodes(tag),
    ['MatMul', [`${tag}o`, `${tag}out.w`], [`${tag}y`]],
    ['Add', [x, `${tag}y`], [`${tag}h`]],
    ['RMSNormalization', [`${tag}h`, 'norm'], [`${tag}b`], { epsilon: 1e-6 }],
    ['MatMul', [`${tag}b`, `${tag}up.w`], [`${tag}u`]],
    ['Gelu', [`${tag}u`], [`${tag}g`]],
    ['MatMul', [`${tag}g`, `${tag}down.w`], [`${tag}d`]],
    ['Add', [`${tag}h`, `${tag}d`], [y]],
  ];
  const text: GraphText = {
    inputs: { input_ids: ['batch', 'sequence'], ...inputs },
    outputs: { logits: ['batch', 'sequence', vocabulary], ...outputs },
    nodes: [
      ['Gather', ['table', 'input_ids'], ['h0']],
      ...block('0.', 'h0', 'h1'),
      ...block('1.', 'h1', 'h2'),
      ['RMSNormalization', ['h2', 'norm'], ['f'], { epsilon: 1e-6 }],
      ['MatMul', ['f', 'head'], ['logits']],
    ],
    initializers: [
      ...['table', 'head'].map((one) => rawTensor(one, matrices[one] ?? [])),
      rawTensor('norm', [hidden], new Array<number>(hidden).fill(1)),
      ...['0.', '1.'].flatMap((tag) =>
        own.map((one) => rawTensor(`${tag}${one}.w`, matrices[one] ?? [])),
      ),
    ],
  };
  const path = join(folder, `${name}-${opset}.onnx`);
  writeFileSync(path, modelBytes(text, opset));
  return path;
}

const ints = (values: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
const floats = (dims: readonly number[]): Tensor => {
  const length = dims.reduce((product, one) => product * one, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length }, (_, i) => Math.cos(i)),
    dims,
  );
};
const input_ids = ints([1, 5, 3, 9, 2, 2], [2, 3]);

const sides = ['key', 'value'] as const;
const caches = (name: string, shape: readonly (number | string)[]) =>
  Object.fromEntries(
    [0, 1].flatMap((layer) => sides.map((side) => [`${name}.${layer}.${side}`, shape])),
  );
const attends = { q_num_heads: heads, kv_num_heads: groups };

describe('operators of newer opsets', () => {
  it.each([23, 24])('attend with a cache, opset %s', async (opset) => {
    const path = decoder(
      'cached',
      {
        nodes: (tag) => {
          const [past, present] = ['past_key_values', 'present'].map((name) =>
            sides.map((side) => `${name}.${tag}${side}`),
          );
          return [
            [
              'Attention',
              [`${tag}q`, `${tag}k`, `${tag}v`, '', ...(past ?? [])],
              [`${tag}o`, ...(present ?? [])],
              { ...attends, is_causal: 1 },
            ],
          ];
        },
        inputs: caches('past_key_values', ['batch', groups, 'past', size]),
        outputs: caches('present', ['batch', groups, 'total', size]),
      },
      opset,
    );
    const past = Object.keys(caches('past_key_values', []));
    const feeds = {
      input_ids,
      ...Object.fromEntries(past.map((name) => [name, floats([2, groups, 2, size])])),
    };
    const { summary, width } = await openModel(path).then((model) => ({
      summary: model.summary,
      width: [0, 1, 2, 3].map((index) => model.sublayer(index).width?.count),
    }));
    expect(summary.sublayers[0]?.kvBytesPerToken).toBe(2 * groups * size * 4);
    expect(width).toEqual([groups, inner, groups, inner]);
    const left = await check(path, listBlocks('attention'), feeds);
    expect(left).toEqual(['input_ids', 'past_key_values.1.key', 'past_key_values.1.value']);
  });

  it('write new keys into a cache of a fixed length, opset 24', async () => {
    const path = decoder(
      'scattered',
      {
        nodes: (tag) => [
          ...sides.map((side): NodeLine => [
            'TensorScatter',
            [`cache.${tag}${side}`, `${tag}${side.slice(0, 1)}`, 'write_ids'],
            [`written.${tag}${side}`],
            { axis: 1 },
          ]),
          [
            'Attention',
            [`${tag}q`, `written.${tag}key`, `written.${tag}value`, '', '', '', 'length_ids'],
            [`${tag}o`],
            attends,
          ],
        ],
        inputs: {
          write_ids: ['batch'],
          length_ids: ['batch'],
          ...caches('cache', ['batch', 6, groups * size]),
        },
        outputs: caches('written', ['batch', 6, groups * size]),
      },
      24,
    );
    const cached = Object.keys(caches('cache', [])).map((name) => [
      name,
      floats([2, 6, groups * size]),
    ]);
    const model = await openModel(path);
    const feeds = {
      ...{ input_ids, write_ids: ints([1, 2], [2]), length_ids: ints([4, 5], [2]) },
      ...(Object.fromEntries(cached) as Feeds),
    };
    const expected = await whole(path, feeds);
    expect(model.summary.sublayers.map(({ id }) => id)).toEqual(listBlocks('attention'));
    expect(
      relativeError(await logitsWithoutUnits(model, makeExample(feeds), []), expected),
    ).toBeLessThan(1e-4);
  });

  it('that the CPU has no kernel for are inspected, and said not to run', async () => {
    const nodes = (tag: string): NodeLine[] => [
      [
        'com.microsoft:GatedDeltaNet',
        [`${tag}q`, `${tag}k`, `${tag}v`],
        [`${tag}o`, `${tag}state`],
      ],
    ];
    const model = await openModel(decoder('gated', { nodes }, 23));
    expect(model.summary.sublayers.map(({ id }) => id)).toEqual(listBlocks('mixer'));
    expect(() => {
      model.requireRunnable();
    }).toFailWith({ code: 'kernel-missing', file: 'gated-23.onnx' });
  });

  it('mix tokens by a state', async () => {
    const path = decoder(
      'linear',
      {
        nodes: (tag) => [
          [
            'com.microsoft:LinearAttention',
            [`${tag}q`, `${tag}k`, `${tag}v`],
            [`${tag}o`, `${tag}state`],
            { ...attends, update_rule: 'linear' },
          ],
        ],
      },
      23,
    );
    await check(path, listBlocks('mixer'), { input_ids });
  });
});

describe('few bits with groups of columns in any order (g_idx)', () => {
  const [width, blockSize] = [32, 16];
  const blocks = width / blockSize;
  const tensor = (
    name: string,
    dataType: number,
    dims: readonly number[],
    data: ArrayBufferView<ArrayBuffer>,
  ): TensorProto =>
    create(TensorProtoSchema, {
      ...{ name, dataType, dims: dims.map(BigInt) },
      rawData: new Uint8Array(data.buffer),
    });
  /** A product by a matrix; its column k has the scale of group (7·k mod width) / blockSize. */
  const initializers = (name: string, seed: number): TensorProto[] => [
    tensor(
      `${name}.B`,
      DataType.UINT8,
      [width, blocks, blockSize / 2],
      Uint8Array.from({ length: (width * width) / 2 }, (_, i) => ((i + seed) * 97) % 256),
    ),
    rawTensor(
      `${name}.s`,
      [width, blocks],
      Array.from({ length: width * blocks }, (_, i) => (i % 2 === 0 ? 0.01 : 0.05)),
    ),
    tensor(
      `${name}.g`,
      DataType.INT32,
      [width],
      Int32Array.from({ length: width }, (_, k) => Math.floor(((7 * k) % width) / blockSize)),
    ),
  ];
  const product = (name: string, x: string, y: string): NodeLine => [
    'com.microsoft:MatMulNBits',
    [x, `${name}.B`, `${name}.s`, '', `${name}.g`],
    [y],
    { K: width, N: width, bits: 4, block_size: blockSize },
  ];
  const half = (tag: string, x: string, y: string): NodeLine[] => [
    product(`${tag}up`, x, `${tag}u`),
    ['Relu', [`${tag}u`], [`${tag}r`]],
    product(`${tag}down`, `${tag}r`, `${tag}d`),
    ['Add', [x, `${tag}d`], [y]],
  ];
  const names = ['0.up', '0.down', '1.up', '1.down'];

  it('runs, and its MLPs can be removed but not width-pruned', async () => {
    const path = join(folder, 'ordered.onnx');
    const ports = ['batch', 'sequence', width];
    writeFileSync(
      path,
      modelBytes({
        inputs: { x: ports },
        outputs: { y: ports },
        nodes: [...half('0.', 'x', 'h'), ...half('1.', 'h', 'i'), ...half('2.', 'i', 'y')],
        initializers: [...names, '2.up', '2.down'].flatMap(initializers),
      }),
    );
    const kinds = [0, 1, 2].map((block) => `block.${block}.feedforward`);
    const model = await openModel(path);
    expect([0, 1, 2].map((index) => model.sublayer(index).width)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    await check(path, kinds, { x: floats([1, 3, width]) });
  });
});

describe('experts in an If each, run only for tokens sent to them', () => {
  const [width, count] = [8, 4];
  const experts = Array.from({ length: count }, (_, expert) => expert);
  const ports = ['batch', 'sequence', width];

  it('are removed one by one, with their FLOPs counted', async () => {
    const expert = (k: number): NodeLine[] => {
      const computed = graph({
        inputs: {},
        outputs: { [`${k}.then`]: ports },
        nodes: [
          ['MatMul', ['n', `${k}.up`], [`${k}.u`]],
          ['Relu', [`${k}.u`], [`${k}.r`]],
          ['MatMul', [`${k}.r`, `${k}.down`], [`${k}.d`]],
          ['Mul', [`${k}.d`, `${k}.share`], [`${k}.then`]],
        ],
      });
      const nothing = graph({
        inputs: {},
        outputs: { [`${k}.else`]: ports },
        nodes: [['Sub', ['n', 'n'], [`${k}.else`]]],
      });
      return [
        ['Equal', ['chosen', `${k}.number`], [`${k}.is`]],
        ['Cast', [`${k}.is`], [`${k}.float`], { to: DataType.FLOAT }],
        ['Mul', [`${k}.float`, 'shares'], [`${k}.shares`]],
        ['ReduceSum', [`${k}.shares`, 'last'], [`${k}.share`]],
        ['ReduceMax', [`${k}.float`], [`${k}.most`], { keepdims: 0 }],
        ['Cast', [`${k}.most`], [`${k}.any`], { to: DataType.BOOL }],
        ['If', [`${k}.any`], [`${k}.y`], { then_branch: computed, else_branch: nothing }],
      ];
    };
    const path = join(folder, 'experts.onnx');
    writeFileSync(
      path,
      modelBytes({
        inputs: { x: ports },
        outputs: { y: ports },
        nodes: [
          ['LayerNormalization', ['x', 'norm'], ['n'], { epsilon: 1e-6 }],
          ['MatMul', ['n', 'router'], ['scores']],
          ['Softmax', ['scores'], ['all']],
          ['TopK', ['all', 'two'], ['shares', 'chosen']],
          ...experts.flatMap(expert),
          ...experts.map((k): NodeLine => [
            'Add',
            [k === 0 ? 'x' : `${k - 1}.h`, `${k}.y`],
            [k === count - 1 ? 'y' : `${k}.h`],
          ]),
        ],
        initializers: [
          rawTensor('norm', [width], new Array<number>(width).fill(1)),
          rawTensor('router', [width, count]),
          ...[intTensor('two', [2]), intTensor('last', [-1])],
          ...experts.flatMap((k) => [
            intTensor(`${k}.number`, [k]),
            rawTensor(`${k}.up`, [width, 12]),
            rawTensor(`${k}.down`, [12, width]),
          ]),
        ],
      }),
    );
    const { summary } = await openModel(path);
    expect(summary.sublayers.map(({ flopsPerToken }) => flopsPerToken)).toEqual(
      experts.map(() => 2 * 2 * width * 12),
    );
    await check(
      path,
      experts.map((k) => `block.${k}.feedforward`),
      { x: floats([1, 3, width]) },
    );
  });
});

/** The exporters of torch write the same nodes for each of these opsets. */
const alike = [
  ...[13, 14, 15, 16, 17].map((opset) => ['llama-legacy', opset] as const),
  ...[17, 18, 19].map((opset) => ['bert-legacy', opset] as const),
  ...[18, 19, 20, 21, 22].map((opset) => ['llama-dynamo', opset] as const),
];

describe('opsets', () => {
  it.each(alike)('%s in opset %s', async (name, opset) => {
    const model = fromBinary(ModelProtoSchema, readFileSync(onnxFixture(name)));
    for (const one of model.opsetImport) {
      one.version = one.domain === '' ? BigInt(opset) : one.version;
    }
    for (const node of model.graph?.node ?? []) {
      // Since opset 14 Reshape can be told what it does anyway.
      node.attribute = node.attribute.filter((one) => opset > 13 || one.name !== 'allowzero');
    }
    const path = join(folder, `${name}-${opset}.onnx`);
    writeFileSync(path, toBinary(ModelProtoSchema, model));
    const { feeds, logits } = readOnnxGolden(name);
    expect(relativeError(await whole(path, feeds), logits)).toBeLessThan(2e-5);
    expect((await openModel(path)).summary).toMatchObject({ opset });
    await check(path, listBlocks('attention'), feeds);
  });
});
