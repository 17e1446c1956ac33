import { statSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { floatsToHalves } from '../../../../extension/core/checkpoints/half';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import { DataType } from '../../../../extension/core/onnx/graph-builder';
import { TensorProtoSchema } from '../../../../extension/core/onnx/proto/onnx_pb';
import type { GraphProto, TensorProto } from '../../../../extension/core/onnx/proto/onnx_pb';
import { prune } from '../../export/pruning';
import { relativeError } from '../../fixtures';
import { graph, intTensor, rawTensor } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';
import { openSession } from '../../whole-session';
import {
  block,
  toBytes,
  inner,
  loopBody,
  LoopFile,
  noise,
  rows,
  scanBody,
  silenced,
  steps,
  three,
  width,
} from './loop-graphs';
import type { Written } from './loop-graphs';

const scratch = new LoopFile();
const numbers = noise(steps * width * inner, 1);

function stored(
  name: string,
  dataType: number,
  dims: readonly number[],
  data: Uint8Array | Int8Array | Uint16Array,
): TensorProto {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData });
}

const half = (name: string, dims: readonly number[]): TensorProto =>
  stored(name, DataType.FLOAT16, dims, floatsToHalves(Float32Array.from(numbers)));
const whole = (name: string, dims: readonly number[]): TensorProto =>
  stored(
    name,
    DataType.INT8,
    dims,
    Int8Array.from(numbers, (value) => Math.round(value * 400)),
  );
const scales = (name: string, dims: readonly number[]): TensorProto =>
  rawTensor(
    name,
    dims,
    Array.from(
      { length: dims.reduce((all, size) => all * size, 1) },
      (_, i) => (1 + (i % 5)) / 900,
    ),
  );

const zeros = (name: string, dims: readonly number[]): TensorProto => {
  const count = dims.reduce((all, size) => all * size, 1);
  return stored(
    name,
    DataType.INT8,
    dims,
    Int8Array.from({ length: count }, (_, i) => (i % 7) - 3),
  );
};

const scan = (up: string, axes: readonly number[] = [0, 0]): NodeLine => [
  'Scan',
  ['x', up, 'down'],
  ['y'],
  { body: scanBody(), num_scan_inputs: 2, scan_input_axes: axes },
];

/** The file with zeros in the weights of block 1. */
const silent = (model: Written): Uint8Array => {
  const removedBytes = (model.initializers ?? []).map((one) =>
    one.name === 'd1'
      ? rawTensor(
          'd1',
          [inner, width],
          noise(matrix, 0).map(() => 0),
        )
      : one,
  );
  return toBytes({ ...model, initializers: removedBytes }, 17, silenced(1));
};

interface Case extends Written {
  readonly opset?: number;
  /** Stored tensor of the upper matrix of a step: type, shape and bytes. */
  readonly stored: readonly [string, readonly number[], number];
  /** Nodes of a step that change it. */
  readonly by: readonly string[];
}

const matrix = width * inner;
const stack = [steps, width, inner];
const cases: readonly (readonly [string, Case])[] = [
  [
    'cast from half precision',
    {
      nodes: [['Cast', ['h'], ['full'], { to: DataType.FLOAT }], scan('full')],
      initializers: [half('h', stack)],
      stored: ['F16', [width, inner], 2 * matrix],
      by: ['Cast'],
    },
  ],
  [
    'cast in the body of a Loop that slices them',
    {
      nodes: [
        [
          'Loop',
          ['three', '', 'x'],
          ['y'],
          {
            body: graph({
              inputs: { step_ids: [], going: [], h: ['n', width] },
              outputs: { going: [], next: ['n', width] },
              nodes: [
                ['Cast', ['halves'], ['full'], { to: DataType.FLOAT }],
                ['Unsqueeze', ['step_ids', 'zero'], ['from']],
                ['Add', ['from', 'one'], ['to']],
                ['Slice', ['full', 'from', 'to', 'zero'], ['some']],
                ['Squeeze', ['some', 'zero'], ['u']],
                ['Gather', ['down', 'step_ids'], ['d']],
                ...block('u', 'd'),
              ],
            }),
          },
        ],
      ],
      initializers: [half('halves', stack)],
      stored: ['F16', [width, inner], 2 * matrix],
      by: ['Cast'],
    },
  ],
  [
    'transposed',
    {
      nodes: [['Transpose', ['t'], ['up_t'], { perm: [0, 2, 1] }], scan('up_t')],
      initializers: [rawTensor('t', [steps, inner, width], numbers)],
      stored: ['F32', [inner, width], 4 * matrix],
      by: ['Transpose'],
    },
  ],
  [
    'transposed, with the steps along another axis',
    {
      nodes: [['Transpose', ['t'], ['up_t'], { perm: [1, 0, 2] }], scan('up_t', [1, 0])],
      initializers: [rawTensor('t', stack, numbers)],
      stored: ['F32', [width, inner], 4 * matrix],
      by: [],
    },
  ],
  [
    'laid out in other sizes, and cast',
    {
      nodes: [
        ['Cast', ['h'], ['full'], { to: DataType.FLOAT }],
        ['Reshape', ['full', 'sizes'], ['up_r']],
        scan('up_r'),
      ],
      initializers: [
        half('h', [steps * width, inner]),
        stored(
          'sizes',
          DataType.INT64,
          [3],
          new Uint8Array(BigInt64Array.from(stack, BigInt).buffer),
        ),
      ],
      stored: ['F16', [width, inner], 2 * matrix],
      by: ['Cast'],
    },
  ],
  [
    'put together from matrices',
    {
      nodes: [
        ...['p', 'q', 'r'].map((name): NodeLine => ['Unsqueeze', [name, 'zero'], [`${name}1`]]),
        ['Concat', ['p1', 'q1', 'r1'], ['up_c'], { axis: 0 }],
        scan('up_c'),
      ],
      initializers: ['p', 'q', 'r'].map((name, i) =>
        rawTensor(name, [width, inner], numbers.slice(i * matrix, (i + 1) * matrix)),
      ),
      stored: ['F32', [width, inner], 4 * matrix],
      by: [],
    },
  ],
  ...(
    [
      ['one scale', [], {}, 17],
      ['a scale for each step', [steps], { axis: 0 }, 17],
      ['a scale for each column', [inner], { axis: 2 }, 17],
      ['scales of blocks', [steps, width / 8, inner], { axis: 1, block_size: 8 }, 21],
    ] as const
  ).map(([name, dims, attributes, opset]): readonly [string, Case] => [
    `dequantized by ${name}`,
    {
      nodes: [['DequantizeLinear', ['i', 's', 'z'], ['up_d'], attributes], scan('up_d')],
      initializers: [whole('i', stack), scales('s', dims), zeros('z', dims)],
      opset,
      stored: ['I8', [width, inner], matrix],
      by: ['DequantizeLinear'],
    },
  ]),
  [
    'scaled by numbers of each step',
    {
      nodes: [
        ['Cast', ['i'], ['i_f'], { to: DataType.FLOAT }],
        ['Mul', ['i_f', 's'], ['up_s']],
        scan('up_s'),
      ],
      initializers: [whole('i', stack), scales('s', [steps, 1, inner])],
      stored: ['I8', [width, inner], matrix],
      by: ['Cast', 'Mul'],
    },
  ],
];

describe('stacks that are changed in front of a loop', () => {
  it.each(cases)('are sliced in their storage order: %s', async (_, { opset, ...model }) => {
    const { ids, file, index } = await scratch.opened(model, opset);
    expect(ids).toEqual(three);
    const [dtype, dims, length] = model.stored;
    const parts = [...file.initializers.values()].filter(
      (one) =>
        one.dtype === dtype && one.dims.join() === dims.join() && !one.name.startsWith('down'),
    );
    expect(parts.map((one) => [one.length, one.inline])).toEqual(
      three.map(() => [length, undefined]),
    );
    expect(new Set(parts.map(({ offset }) => offset)).size).toBe(steps);
    // Each step changes its own part.
    const by = index.nodes.filter(({ op }) =>
      ['Cast', 'Mul', 'Transpose', 'DequantizeLinear', 'Reshape', 'Squeeze', 'Gather'].includes(op),
    );
    expect(by.slice(0, by.length / steps).map(({ op }) => op)).toEqual(model.by);
    expect(by).toHaveLength(steps * model.by.length);
    await scratch.expectSame();
  });

  it.each(cases)('are written without the removed rows: %s', async (name, { opset, ...model }) => {
    scratch.write(model, opset);
    const out = join(scratch.folder, name);
    const { verification } = await prune(scratch.path, ['block.1.feedforward'], out, {
      format: 'onnx',
    });
    expect(verification.relativeError).toBeLessThan(1e-5);
    const [, , length] = model.stored;
    const size = statSync(join(out, 'model.onnx_data')).size;
    expect(size).toBeGreaterThanOrEqual((steps - 1) * (4 * matrix + length));
    // Scales apart.
    expect(size).toBeLessThan((steps - 1) * (4 * matrix + length) + 3 * matrix);
    // ONNX Runtime's optimizer rounds what is multiplied by integers.
    const exact = { graphOptimizationLevel: 'disabled' } as const;
    const session = await openSession(join(out, 'model.onnx'), exact);
    const original = await openSession(toBytes(model, opset, silenced(1)), exact);
    try {
      const [{ y }, expected] = [await session.run({ x: rows }), await original.run({ x: rows })];
      expect(
        relativeError(y?.data as Float32Array, expected['y']?.data as Float32Array),
      ).toBeLessThan(1e-5);
    } finally {
      await session.release();
      await original.release();
    }
    expect((await openOnnxModel(join(out, 'model.onnx'))).summary.sublayers).toHaveLength(2);
  });

  it.each<[string, Written, RegExp]>([
    [
      'by Transpose, whose parts do not lie together',
      {
        nodes: [['Transpose', ['across'], ['up_a'], { perm: [1, 0, 2] }], scan('up_a')],
      },
      /Scan y can't be unrolled: its steps read across along axis 1, and only axis 0 is contiguous/,
    ],
    [
      'by an operator that mixes steps',
      {
        nodes: [['CumSum', ['up', 'first'], ['up_a']], scan('up_a')],
        initializers: [stored('first', DataType.INT64, [], new Uint8Array(8))],
      },
      /Scan y can't be unrolled: its steps read up_a, which CumSum computes from whole stacks\./,
    ],
  ])('are left in the loop, with the reason: %s', async (_, model, reason) => {
    const { ids, warnings } = await scratch.opened(model);
    expect(ids).toEqual([]);
    expect(warnings[0]).toMatch(reason);
  });
});

/** A branch of an If: a loop whose result it gives under a name of its own. */
const getBranch = ([type, inputs, , attributes = {}]: NodeLine, tag: string): GraphProto =>
  graph({
    inputs: {},
    outputs: { [`${tag}y`]: ['n', width] },
    nodes: [
      [type, inputs, [`${tag}z`], attributes],
      ['Identity', [`${tag}z`], [`${tag}y`]],
    ],
  });
const loop: NodeLine = ['Loop', ['three', '', 'x'], ['y'], { body: loopBody() }];
const choice = (then_branch: GraphProto, else_branch: GraphProto): NodeLine[] => [
  ['Cast', ['which_ids'], ['which'], { to: DataType.BOOL }],
  ['If', ['which'], ['y'], { then_branch, else_branch }],
];
const still = (tag: string): GraphProto => getBranch(['Tanh', ['x'], []], tag);

describe('a loop in a branch of an If', () => {
  const both: readonly (readonly [string, Written, number])[] = [
    [
      'both, over the same stacks',
      { nodes: choice(getBranch(loop, 'a'), getBranch(scan('up'), 'b')) },
      4,
    ],
    ['one of them', { nodes: choice(still('a'), getBranch(loop, 'b')) }, 4],
    [
      'one, and separate blocks in the other',
      {
        nodes: choice(
          getBranch(loop, 'a'),
          graph({
            inputs: {},
            outputs: { y2: ['n', width] },
            nodes: [
              ...block('u0', 'd0', 'x', 'h0'),
              ...block('u1', 'd1', 'h0', 'h1'),
              ...block('u2', 'd2', 'h1', 'y2'),
            ],
          }),
        ),
        initializers: Array.from({ length: steps }, (_, i) => [
          rawTensor(`u${i}`, [width, inner]),
          rawTensor(`d${i}`, [inner, width]),
        ]).flat(),
      },
      8,
    ],
    [
      'both, over a stack that is cast in front of it',
      {
        nodes: [
          ['Cast', ['h'], ['full'], { to: DataType.FLOAT }],
          ...choice(getBranch(scan('full'), 'a'), getBranch(scan('full'), 'b')),
        ],
        initializers: [half('h', stack)],
      },
      3,
    ],
  ];
  const feeds = [0, 1].map((which) => ({
    x: rows,
    which_ids: new Tensor('int64', [BigInt(which)], []),
  }));
  const inputs = { which_ids: [] };

  it.each(both)('is unrolled there: %s', async (_, model, bytes) => {
    const { ids, warnings, file } = await scratch.opened({ ...model, inputs });
    expect(ids).toEqual(three);
    expect(warnings[0]).toMatch(/^(?:Loop|Scan) \S+ runs 3 steps over stacked weights/);
    const matrices = [...file.initializers.values()].filter(({ dims }) => dims.length === 2);
    expect(matrices.reduce((sum, { length }) => sum + length, 0)).toBe(bytes * 2 * steps * matrix);
    for (const one of feeds) {
      await scratch.expectSame(one);
    }
  });

  it.each(both)(
    'is written without the removed rows, in both branches: %s',
    async (name, model, bytes) => {
      scratch.write({ ...model, inputs });
      const out = join(scratch.folder, `in ${name}`);
      const { verification } = await prune(scratch.path, ['block.1.feedforward'], out, {
        format: 'onnx',
      });
      expect(verification.relativeError).toBeLessThan(1e-5);
      expect(statSync(join(out, 'model.onnx_data')).size).toBe(bytes * 2 * (steps - 1) * matrix);
      const session = await openSession(join(out, 'model.onnx'));
      const original = await openSession(silent({ ...model, inputs }));
      for (const one of feeds) {
        const [{ y }, expected] = [await session.run(one), await original.run(one)];
        expect(
          relativeError(y?.data as Float32Array, expected['y']?.data as Float32Array),
        ).toBeLessThan(1e-5);
      }
      await session.release();
      await original.release();
    },
  );

  it('that cannot be unrolled is named with the reason', async () => {
    const shared: NodeLine = ['Loop', ['limit_ids', '', 'x'], [], { body: loopBody() }];
    const { ids, warnings } = await scratch.opened({
      nodes: choice(still('a'), getBranch(shared, 'b')),
      inputs: { ...inputs, limit_ids: [] },
    });
    expect(ids).toEqual([]);
    expect(warnings[0]).toMatch(
      /inside body of Loop bz .*Loop bz can't be unrolled: its number of steps isn't a constant/,
    );
  });

  it('with another number of steps than the other branch is reported', async () => {
    const shorter: NodeLine = ['Loop', ['two', '', 'x'], [], { body: loopBody() }];
    const { ids, warnings, file } = await scratch.opened({
      nodes: choice(getBranch(shorter, 'a'), getBranch(loop, 'b')),
      inputs,
      initializers: [intTensor('two', [2])],
    });
    expect(ids).toEqual([]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^The branches of If y contain different layers \(block\.0\.feedforward, /,
      ),
    ]);
    expect(file.initializers.get('up')?.dims).toEqual(stack);
  });

  it('stays if the main graph has layers', async () => {
    const { ids, warnings } = await scratch.opened({
      nodes: [
        ...block('u0', 'd0', 'x', 'h0'),
        ['Cast', ['which_ids'], ['which'], { to: DataType.BOOL }],
        [
          'If',
          ['which'],
          ['y'],
          {
            then_branch: getBranch(['Loop', ['three', '', 'h0'], [], { body: loopBody() }], 'a'),
            else_branch: getBranch(['Tanh', ['h0'], []], 'b'),
          },
        ],
      ],
      inputs,
      initializers: [rawTensor('u0', [width, inner]), rawTensor('d0', [inner, width])],
    });
    expect(ids).toEqual(['block.0.feedforward']);
    expect(warnings).toEqual([
      expect.stringMatching(/The layers inside body of Loop az .* remain/),
    ]);
  });
});
