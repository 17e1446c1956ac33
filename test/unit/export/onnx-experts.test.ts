import { writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { openOnnxModel } from '../../../extension/core/models/onnx/onnx-model';
import { DataType } from '../../../extension/core/onnx/graph-builder';
import { TensorProtoSchema } from '../../../extension/core/onnx/proto/onnx_pb';
import type { TensorProto } from '../../../extension/core/onnx/proto/onnx_pb';
import { intTensor, modelBytes, rawTensor } from '../onnx-bytes';
import type { GraphText, NodeLine } from '../onnx-bytes';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune } from './pruning';
import { inEnglish } from '../../../extension/core/message';

const [count, width] = [5, 32];
const experts = Array.from({ length: count }, (_, expert) => expert);
const root = temporaryFolder();

/** Changes of a case to the default graph. */
interface Form {
  /** Nodes from `h` [n, width] to `scores` [n, count]. */
  readonly router?: readonly NodeLine[];
  /** Nodes from `h`, `shares` and `chosen` [n, 2] to `mixed` [n, width]. */
  readonly mixture: readonly NodeLine[];
  readonly initializers?: readonly TensorProto[];
  readonly outputs?: GraphText['outputs'];
}

const plain: NodeLine[] = [['MatMul', ['h', 'router'], ['scores']]];
const numbers = [
  ...experts.map((expert) => intTensor(`is${expert}`, [expert])),
  ...[1, 2, 3].map((axis) => intTensor(`axis${axis}`, [axis])),
  intTensor('two', [2]),
  intTensor('depth', [count]),
  intTensor('inner axes', [1, 3]),
];

/** Graph from x to y = x + moe(norm(x)). */
function toBytes({ router = plain, mixture, initializers = [], outputs = {} }: Form): Uint8Array {
  const stacked = ['up', 'down'].map((name) => rawTensor(name, [count, width, width]));
  const single = experts.flatMap((expert) => [
    rawTensor(`up${expert}`, [width, width]),
    rawTensor(`down${expert}`, [width, width]),
  ]);
  return modelBytes({
    inputs: { x: ['n', width] },
    outputs: { y: ['n', width], ...outputs },
    nodes: [
      ['LayerNormalization', ['x', 'scale', 'bias'], ['h']],
      ...router,
      ['Softmax', ['scores'], ['p'], { axis: -1 }],
      ['TopK', ['p', 'two'], ['shares', 'chosen'], { axis: -1 }],
      ...mixture,
      ['Add', ['x', 'mixed'], ['y']],
    ],
    initializers: [
      rawTensor('scale', [width]),
      rawTensor('bias', [width]),
      rawTensor('router', [width, count]),
      rawTensor('zero', [1], [0]),
      rawTensor('switch', [2], [0, 1]),
      ...stacked,
      ...single,
      ...numbers,
      ...initializers,
    ],
  });
}

/** Weights are fetched by the numbers of the chosen experts. */
const fetched: NodeLine[] = [
  ['Unsqueeze', ['h', 'inner axes'], ['columns']],
  ['Gather', ['up', 'chosen'], ['ups'], { axis: 0 }],
  ['MatMul', ['ups', 'columns'], ['inner']],
  ['Relu', ['inner'], ['active']],
  ['Gather', ['down', 'chosen'], ['downs'], { axis: 0 }],
  ['MatMul', ['downs', 'active'], ['outer']],
  ['Unsqueeze', ['shares', 'last axes'], ['factors']],
  ['Mul', ['outer', 'factors'], ['weighted']],
  ['ReduceSum', ['weighted', 'inner axes'], ['mixed'], { keepdims: 0 }],
];
const lastAxes = intTensor('last axes', [2, 3]);

/** Every expert over all rows, its share being 0 where it was not chosen. */
const dense = (shareOf: (expert: number) => NodeLine[], sum: readonly NodeLine[]): NodeLine[] => [
  ...experts.flatMap((expert): NodeLine[] => [
    ...shareOf(expert),
    ['MatMul', ['h', `up${expert}`], [`inner${expert}`]],
    ['Relu', [`inner${expert}`], [`active${expert}`]],
    ['MatMul', [`active${expert}`, `down${expert}`], [`outer${expert}`]],
    ['Add', [`outer${expert}`, 'bias'], [`biased${expert}`]],
    ['Mul', [`biased${expert}`, `share${expert}`], [`part${expert}`]],
  ]),
  ...sum,
];
/** Sum as a tree, not a chain: it has partial sums whose experts can all be removed. */
const tree: NodeLine[] = [
  ['Add', ['part0', 'part1'], ['left']],
  ['Add', ['part2', 'part3'], ['middle']],
  ['Identity', ['left'], ['left again']],
  ['Add', ['left again', 'middle'], ['four']],
  ['Add', ['four', 'part4'], ['all']],
  ['Identity', ['all'], ['mixed']],
];
const compared = (expert: number): NodeLine[] => [
  ['Equal', ['chosen', `is${expert}`], [`equal${expert}`]],
  ['Where', [`equal${expert}`, 'shares', 'zero'], [`where${expert}`]],
  ['ReduceSum', [`where${expert}`, 'axis1'], [`share${expert}`]],
];
const places: NodeLine[] = [
  ['OneHot', ['chosen', 'depth', 'switch'], ['hot'], { axis: -1 }],
  ['Transpose', ['hot'], ['masks'], { perm: [2, 0, 1] }],
  ['Split', ['masks', 'ones'], experts.map((expert) => `mask${expert}`), { axis: 0 }],
];
const placed = (expert: number): NodeLine[] => [
  ['Squeeze', [`mask${expert}`, 'is0'], [`rows${expert}`]],
  ['Mul', [`rows${expert}`, 'shares'], [`times${expert}`]],
  ['ReduceSum', [`times${expert}`, 'axis1'], [`share${expert}`]],
];
const scattered = (expert: number): NodeLine[] => [
  ['Gather', ['spread', `is${expert}`], [`share${expert}`], { axis: 1 }],
];

function byteTensor(name: string, dims: readonly number[]): TensorProto {
  const length = dims.reduce((product, size) => product * size, 1);
  const rawData = Uint8Array.from({ length }, (_, i) => (i * 37 + name.length) % 256);
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.UINT8,
    dims: dims.map(BigInt),
    rawData,
  });
}

const forms: Readonly<Record<string, Form>> = {
  'weights fetched by Gather': { mixture: fetched, initializers: [lastAxes] },
  'a router whose weights are transposed and have a bias': {
    router: [
      ['Transpose', ['rows'], ['columns of rows'], { perm: [1, 0] }],
      ['MatMul', ['h', 'columns of rows'], ['product']],
      ['Add', ['product', 'router bias'], ['scores']],
    ],
    mixture: fetched,
    initializers: [lastAxes, rawTensor('rows', [count, width]), rawTensor('router bias', [count])],
  },
  'a router in pieces, and scores of a written shape': {
    router: [
      ['Concat', ['first', 'second'], ['all rows'], { axis: 0 }],
      ['Gemm', ['h', 'all rows'], ['flat'], { transB: 1 }],
      ['Reshape', ['flat', 'shape of scores'], ['scores']],
    ],
    mixture: fetched,
    initializers: [
      lastAxes,
      rawTensor('first', [2, width]),
      rawTensor('second', [count - 2, width]),
      intTensor('shape of scores', [-1, count]),
    ],
  },
  'a router packed in 4 bits': {
    router: [
      [
        'com.microsoft:MatMulNBits',
        ['h', 'packed', 'scales of blocks'],
        ['scores'],
        { K: width, N: count, bits: 4, block_size: 16 },
      ],
    ],
    mixture: fetched,
    initializers: [
      lastAxes,
      byteTensor('packed', [count, 2, 8]),
      rawTensor('scales of blocks', [count * 2]),
    ],
  },
  'a node MoE': {
    mixture: [['com.microsoft:MoE', ['h', 'scores', 'up', 'biases', 'down'], ['mixed'], { k: 2 }]],
    initializers: [rawTensor('biases', [count, width])],
  },
  'a node QMoE': {
    mixture: [
      [
        'com.microsoft:QMoE',
        ['h', 'scores', 'packed up', 'scales', '', 'packed down', 'scales'],
        ['mixed'],
        { k: 2, expert_weight_bits: 4 },
      ],
    ],
    initializers: [
      byteTensor('packed up', [count, width, width / 2]),
      byteTensor('packed down', [count, width, width / 2]),
      rawTensor('scales', [count, width]),
    ],
  },
  'experts that are compared with Equal': { mixture: dense(compared, tree) },
  'experts that have a place of OneHot, split': {
    mixture: [...places, ...dense(placed, tree)],
    initializers: [
      intTensor(
        'ones',
        experts.map(() => 1),
      ),
    ],
  },
  'shares that are scattered over all experts': {
    mixture: [
      ['Mul', ['p', 'zero'], ['nothing']],
      ['ScatterElements', ['nothing', 'chosen', 'shares'], ['spread'], { axis: 1 }],
      ...dense(scattered, tree),
    ],
  },
};

async function write(form: Form): Promise<string> {
  const path = join(await mkdtemp(join(root, 'case-')), 'model.onnx');
  writeFileSync(path, toBytes(form));
  return path;
}

const collectWarnings = async (form: Form): Promise<readonly string[]> =>
  (await openOnnxModel(await write(form))).summary.warnings.map(inEnglish);

describe('single experts of an ONNX graph', () => {
  const { 'shares that are scattered over all experts': spread, ...known } = forms;

  it.each(Object.keys(known))('are found in %s and removed', async (name) => {
    const source = await write(known[name] ?? { mixture: [] });
    const before = await openOnnxModel(source);
    const [sublayer] = before.summary.sublayers;
    expect(before.summary.warnings).toEqual([]);
    expect(sublayer?.experts).toMatchObject({ count, perToken: 2, least: 2 });
    let from = source;
    let left = count;
    // From the graph itself, and from one that already lacks experts.
    for (const removed of [['block.0.expert.1'], ['block.0.expert.0', 'block.0.expert.2']]) {
      const out = join(await mkdtemp(join(root, 'out-')), 'pruned');
      const result = await prune(from, removed, out, { format: 'onnx' });
      expect(result.verification.relativeError).toBeLessThan(1e-5);
      from = join(out, 'model.onnx');
      left -= removed.length;
      const { summary, file } = await openOnnxModel(from);
      expect(summary.sublayers[0]?.experts).toMatchObject({ count: left, perToken: 2 });
      expect(summary.sublayers[0]?.parameters).toBe(
        (sublayer?.parameters ?? 0) - (count - left) * (sublayer?.experts?.parameters ?? 0),
      );
      const sizes = [...file.initializers.values()].filter(({ dtype }) => dtype === 'F32');
      expect(sizes.filter(({ dims }) => dims.includes(count))).toEqual([]);
    }
    await expect(
      prune(from, ['block.0.expert.0'], join(root, 'too-few'), { format: 'onnx' }),
    ).rejects.toFailWith({
      code: 'experts-too-few',
      file: 'model.onnx',
      field: 'remove',
      remedy: / keep 2 of its experts/,
    });
  });

  it('stay together if their shared parts are unknown, with a reason', async () => {
    const { initializers = [] } = forms['weights fetched by Gather'] ?? {};
    const joined: NodeLine[] = [
      ['Concat', experts.map((expert) => `part${expert}`), ['all parts'], { axis: 0 }],
      ['Reshape', ['all parts', 'by expert'], ['apart']],
      ['ReduceSum', ['apart', 'is0'], ['mixed'], { keepdims: 0 }],
    ];
    const cases: readonly [Form, RegExp][] = [
      [spread ?? { mixture: [] }, /its scores go to Mul in addition to TopK/],
      [
        { mixture: fetched, initializers, outputs: { scores: ['n', count] } },
        /its scores are an output of the graph/,
      ],
      [
        {
          router: [
            ...plain.map(([op, inputs]): NodeLine => [op, inputs, ['loose']]),
            ['Max', ['loose', 'zero'], ['scores']],
          ],
          mixture: fetched,
          initializers,
        },
        /its scores pass through Max/,
      ],
      [
        {
          mixture: dense(compared, joined),
          initializers: [intTensor('by expert', [count, -1, width])],
        },
        /Concat reads what several experts give/,
      ],
      [
        {
          mixture: dense(
            (expert) => (expert === 4 ? [['Identity', ['shares'], ['share4']]] : compared(expert)),
            tree,
          ),
        },
        /of 5 experts the graph computes 4/,
      ],
      [
        {
          mixture: [['ArgMax', ['chosen'], ['other']], ...fetched],
          initializers,
          outputs: { other: ['n', 1] },
        },
        /fetch weights and go to ArgMax besides/,
      ],
    ];
    for (const [form, reason] of cases) {
      const warnings = await collectWarnings(form);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(/^Single experts of block.0.expert can't be removed/);
      expect(warnings[0]).toMatch(reason);
    }
  });

  it('are removed with their own nodes and no others', async () => {
    const out = join(await mkdtemp(join(root, 'out-')), 'pruned');
    const both = ['block.0.expert.1', 'block.1.expert.0'];
    const written = await prune(onnxFixture('qwen3-moe-past'), both, out, { format: 'onnx' });
    expect(written.removed).toEqual(both);
    const { index } = await openOnnxModel(join(out, 'model.onnx'));
    const removedExperts = /layers\.0\/mlp\/experts\.1\/|layers\.1\/mlp\/experts\.0\//;
    expect(index.nodes.filter(({ proto }) => removedExperts.test(proto.name))).toEqual([]);
  });
});
