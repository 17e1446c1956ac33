import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { removeFromGraph } from '../../../../extension/core/export/onnx/onnx-surgery';
import { inEnglish } from '../../../../extension/core/message';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import type { GraphProto } from '../../../../extension/core/onnx/proto/onnx_pb';
import { createSession } from '../../../../extension/core/runtime/session';
import { prune } from '../../export/pruning';
import { relativeError } from '../../fixtures';
import { graph, intTensor, modelBytes, rawTensor } from '../../onnx-bytes';
import type { GraphText, NodeLine } from '../../onnx-bytes';
import { temporaryFolder } from '../../temporary-folder';
import { openSession } from '../../whole-session';

const folder = temporaryFolder();
const path = join(folder, 'model.onnx');
const [steps, width, inner] = [3, 32, 64];
const rows = new Tensor(
  'float32',
  Float32Array.from({ length: 4 * width }, (_, i) => Math.sin(i)),
  [4, width],
);

/** x + down · tanh(x · up), and what is between. */
const block = (up: string, down: string, from = 'h', to = 'next'): NodeLine[] => [
  ['MatMul', [from, up], [`${to}.wide`]],
  ['Tanh', [`${to}.wide`], [`${to}.active`]],
  ['MatMul', [`${to}.active`, down], [`${to}.f`]],
  ['Add', [from, `${to}.f`], [to]],
];
const stacks = [
  rawTensor('up', [steps, width, inner], noise(steps * width * inner, 1)),
  rawTensor('down', [steps, inner, width], noise(steps * width * inner, 2)),
];
const others = [
  ...['three', 'zero', 'one'].map((name, i) => intTensor(name, [[steps, 0, 1][i] ?? 0])),
  rawTensor('most', [], [3]),
  rawTensor('across', [width, steps, inner]),
];

function noise(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233) / 4);
}

const scanBody = (more: readonly NodeLine[] = [], outputs: GraphText['outputs'] = {}): GraphProto =>
  graph({
    inputs: { h: ['n', width], u: [width, inner], d: [inner, width] },
    outputs: { next: ['n', width], ...outputs },
    nodes: [...block('u', 'd'), ...more],
  });

/** A Loop's body whose steps take their weights by their number. */
const loopBody = (
  nodes: readonly NodeLine[] = [['Identity', ['going'], ['on']]],
  outputs: GraphText['outputs'] = {},
): GraphProto =>
  graph({
    inputs: { step_ids: [], going: [], h: ['n', width] },
    outputs: { on: [], next: ['n', width], ...outputs },
    nodes: [
      ['Gather', ['up', 'step_ids'], ['u']],
      ['Gather', ['down', 'step_ids'], ['d']],
      ...block('u', 'd'),
      ...nodes,
    ],
  });

interface Written {
  readonly nodes: readonly NodeLine[];
  readonly outputs?: GraphText['outputs'];
  readonly inputs?: GraphText['inputs'];
}

function write({ nodes, outputs = {}, inputs = {} }: Written, opset = 17): void {
  const bytes = modelBytes(
    {
      inputs: { x: ['n', width], ...inputs },
      outputs: { y: ['n', width], ...outputs },
      nodes,
      initializers: [...stacks, ...others],
    },
    opset,
  );
  writeFileSync(path, bytes);
}

async function opened(model: Written, opset = 17) {
  write(model, opset);
  const found = await openOnnxModel(path);
  const { sublayers, warnings } = found.summary;
  return { ...found, ids: sublayers.map(({ id }) => id), warnings: warnings.map(inEnglish) };
}

/** All outputs of the file as ONNX Runtime runs it, and of the graph step by step. */
async function bothRuns(feeds: Readonly<Record<string, Tensor>> = { x: rows }) {
  const whole = await openSession(path);
  const unrolled = await removeFromGraph(await openOnnxModel(path), new Set());
  const stepwise = await createSession(unrolled, { device: 'cpu', prepack: false });
  try {
    const [expected, actual] = [await whole.run(feeds), await stepwise.run(feeds)];
    expect(Object.keys(actual)).toEqual(Object.keys(expected));
    return Object.entries(expected).map(([name, tensor]) => ({
      name,
      dims: [actual[name]?.dims, tensor.dims],
      error: relativeError(actual[name]?.data as Float32Array, tensor.data as Float32Array),
    }));
  } finally {
    await whole.release();
    await stepwise.release();
  }
}

async function expectSame(feeds?: Readonly<Record<string, Tensor>>): Promise<void> {
  for (const { name, dims, error } of await bothRuns(feeds)) {
    expect(dims[0], name).toEqual(dims[1]);
    expect(error, name).toBeLessThan(1e-5);
  }
}

const three = Array.from({ length: steps }, (_, i) => `block.${i}.feedforward`);
/** What a step makes of the stream in front of it, beside what it hands on. */
const mean: NodeLine = ['ReduceMean', ['h'], ['given'], { axes: [0], keepdims: 0 }];

describe('layers in a loop over stacked weights', () => {
  const cases: readonly (readonly [string, Written])[] = [
    [
      'a Scan',
      { nodes: [['Scan', ['x', 'up', 'down'], ['y'], { body: scanBody(), num_scan_inputs: 2 }]] },
    ],
    [
      'a Scan from the last weights to the first, whose results lie along another axis',
      {
        nodes: [
          [
            'Scan',
            ['x', 'up', 'down'],
            ['y', 'all'],
            {
              body: scanBody([mean], { given: [width] }),
              num_scan_inputs: 2,
              scan_input_directions: [1, 1],
              scan_output_directions: [1],
              scan_output_axes: [1],
            },
          ],
        ],
        outputs: { all: [width, steps] },
      },
    ],
    ['a Loop', { nodes: [['Loop', ['three', '', 'x'], ['y'], { body: loopBody() }]] }],
    [
      'a Loop over as many steps as the stack has, which gives what each step reads',
      {
        nodes: [
          ['Shape', ['up'], ['sizes']],
          ['Gather', ['sizes', 'zero'], ['limit']],
          [
            'Loop',
            ['limit', '', 'x'],
            ['y', 'all'],
            { body: loopBody([['Identity', ['going'], ['on']], mean], { given: [width] }) },
          ],
        ],
        outputs: { all: [steps, width] },
      },
    ],
    [
      'a Loop through stacks that are handed from step to step',
      {
        nodes: [
          [
            'Loop',
            ['three', '', 'up', 'x'],
            ['stack', 'y'],
            {
              body: graph({
                inputs: {
                  step_ids: [],
                  going: [],
                  all: [steps, width, inner],
                  h: ['n', width],
                },
                outputs: { going: [], same: [steps, width, inner], next: ['n', width] },
                nodes: [
                  ['Gather', ['all', 'step_ids'], ['u']],
                  ['Gather', ['down', 'step_ids'], ['d']],
                  ...block('u', 'd'),
                  ['Identity', ['all'], ['same']],
                ],
              }),
            },
          ],
        ],
      },
    ],
  ];

  it.each(cases)('of %s are found, each with weights of its own', async (_, model) => {
    const { ids, warnings, summary, file } = await opened(model);
    expect(ids).toEqual(three);
    expect(warnings).toEqual([
      expect.stringMatching(/^(?:Loop|Scan) \S+ runs 3 steps over stacked weights/),
    ]);
    const sizes = summary.sublayers.map(({ parameters }) => parameters);
    expect(sizes).toEqual(three.map(() => 2 * width * inner));
    // The slices are ranges of the stacks, which are not there themselves.
    expect(summary.parameters).toBe(2 * steps * width * inner);
    const places = [...file.initializers.values()].filter(({ dims }) => dims.length === 2);
    expect(places.map(({ inline, length }) => [inline, length])).toEqual(
      places.map(() => [undefined, 4 * width * inner]),
    );
    expect(new Set(places.map(({ offset }) => offset)).size).toBe(2 * steps);
  });

  it.each(cases)('of %s give what ONNX Runtime gives for the loop', async (_, model) => {
    write(model);
    await expectSame();
  });

  it.each(cases)('of %s can be removed, and the rest is written', async (name, model) => {
    write(model);
    const out = join(folder, name);
    const { verification } = await prune(path, ['block.1.feedforward'], out, { format: 'onnx' });
    expect(verification.relativeError).toBeLessThan(1e-5);
    const result = await openOnnxModel(join(out, 'model.onnx'));
    expect(result.summary.sublayers).toHaveLength(steps - 1);
    const matrices = [...result.file.initializers.values()].filter(({ dims }) => dims.length === 2);
    expect(matrices).toHaveLength(2 * (steps - 1));
    expect(statSync(join(out, 'model.onnx_data')).size).toBe(4 * (steps - 1) * 2 * width * inner);
    // The loop as ONNX Runtime runs it, with zeros in the weights of the step.
    const session = await openSession(join(out, 'model.onnx'));
    const { y } = await session.run({ x: rows });
    await session.release();
    const reversed = name.includes('from the last');
    const gone = reversed ? steps - 2 : 1;
    const silent = stacks.map(({ name: stack, dims, rawData }) => {
      const values = [...new Float32Array(rawData.buffer, rawData.byteOffset, rawData.length / 4)];
      const size = values.length / steps;
      return rawTensor(
        stack,
        dims.map(Number),
        values.map((value, i) => (Math.floor(i / size) === gone ? 0 : value)),
      );
    });
    const zeroed = modelBytes({
      inputs: { x: ['n', width] },
      outputs: { y: ['n', width], ...model.outputs },
      nodes: model.nodes,
      initializers: [...silent, ...others],
    });
    const whole = await openSession(zeroed);
    const expected = await whole.run({ x: rows });
    await whole.release();
    expect(
      relativeError(y?.data as Float32Array, expected['y']?.data as Float32Array),
    ).toBeLessThan(1e-5);
  });

  it('take states of their own, such as caches, which are no weights', async () => {
    const body = graph({
      inputs: {
        h: ['n', width],
        u: [width, inner],
        d: [inner, width],
        kept: ['n', width],
      },
      outputs: { next: ['n', width], now: ['n', width] },
      nodes: [
        ['Add', ['h', 'kept'], ['both']],
        ['Identity', ['both'], ['now']],
        ['MatMul', ['both', 'u'], ['wide']],
        ['Tanh', ['wide'], ['active']],
        ['MatMul', ['active', 'd'], ['f']],
        ['Add', ['h', 'f'], ['next']],
      ],
    });
    const attributes = { body, num_scan_inputs: 3, scan_input_axes: [0, 0, 1] };
    const { ids } = await opened({
      nodes: [['Scan', ['x', 'up', 'down', 'past'], ['y', 'present'], attributes]],
      inputs: { past: ['n', steps, width] },
      outputs: { present: [steps, 'n', width] },
    });
    expect(ids).toEqual(three);
    const past = Float32Array.from({ length: 4 * steps * width }, (_, i) => Math.cos(i));
    await expectSame({ x: rows, past: new Tensor('float32', past, [4, steps, width]) });
  });

  it('are found where a Scan over blocks is in a Loop over groups of blocks', async () => {
    const inLoop = graph({
      inputs: { group_ids: [], going: [], g: ['n', width] },
      outputs: { going: [], last: ['n', width] },
      nodes: [
        ['Gather', ['ups', 'group_ids'], ['some.up']],
        ['Gather', ['downs', 'group_ids'], ['some.down']],
        ['Scan', ['g', 'some.up', 'some.down'], ['last'], { body: scanBody(), num_scan_inputs: 2 }],
      ],
    });
    const groups = 2;
    const text: GraphText = {
      inputs: { x: ['n', width] },
      outputs: { y: ['n', width] },
      nodes: [['Loop', ['two', '', 'x'], ['y'], { body: inLoop }]],
      initializers: [
        intTensor('two', [groups]),
        rawTensor('ups', [groups, steps, width, inner], noise(groups * steps * width * inner, 3)),
        rawTensor('downs', [groups, steps, inner, width], noise(groups * steps * width * inner, 4)),
      ],
    };
    writeFileSync(path, modelBytes(text));
    const { summary } = await openOnnxModel(path);
    expect(summary.sublayers.map(({ parameters }) => parameters)).toEqual(
      Array.from({ length: groups * steps }, () => 2 * width * inner),
    );
    await expectSame();
  });

  it('may hold an If that reads the values of a step', async () => {
    const branch = (operator: string): GraphProto => {
      const to = `${operator}.h`;
      return graph({
        inputs: {},
        outputs: { [to]: ['n', width] },
        nodes: [[operator, ['h'], [to]]],
      });
    };
    const body = graph({
      inputs: { step_ids: [], going: [], h: ['n', width] },
      outputs: { going: [], next: ['n', width] },
      nodes: [
        ['Gather', ['up', 'step_ids'], ['u']],
        ['Gather', ['down', 'step_ids'], ['d']],
        ['Equal', ['step_ids', 'zero'], ['isFirst']],
        ['If', ['isFirst'], ['m'], { then_branch: branch('Sin'), else_branch: branch('Cos') }],
        ['MatMul', ['m', 'u'], ['wide']],
        ['Tanh', ['wide'], ['active']],
        ['MatMul', ['active', 'd'], ['f']],
        ['Add', ['h', 'f'], ['next']],
      ],
    });
    const { ids } = await opened({ nodes: [['Loop', ['three', '', 'x'], ['y'], { body }]] });
    expect(ids).toEqual(three);
    await expectSame();
  });

  it('in opset 11 are unrolled in its operators', async () => {
    const attributes = { body: scanBody([mean], { given: [width] }), num_scan_inputs: 2 };
    const { ids } = await opened(
      {
        nodes: [['Scan', ['x', 'up', 'down'], ['y', 'all'], attributes]],
        outputs: { all: [steps, width] },
      },
      11,
    );
    expect(ids).toEqual(three);
    await expectSame();
  });
});

describe('layers in a loop', () => {
  const shared = graph({
    inputs: { step_ids: [], going: [], h: ['n', width] },
    outputs: { going: [], next: ['n', width] },
    nodes: [['Squeeze', ['first', 'zero'], ['u']], ['Transpose', ['u'], ['d']], ...block('u', 'd')],
  });
  const beforehand: NodeLine[] = [
    ['Slice', ['up', 'zero', 'one', 'zero'], ['first']],
    ['Slice', ['down', 'zero', 'one', 'zero'], ['last']],
  ];
  const less: NodeLine[] = [
    ['ReduceSum', ['next'], ['sum'], { keepdims: 0 }],
    ['Less', ['sum', 'most'], ['on']],
  ];

  it.each<[string, Written, RegExp]>([
    [
      'whose number of steps is an input',
      {
        nodes: [['Loop', ['limit_ids', '', 'x'], ['y'], { body: loopBody() }]],
        inputs: { limit_ids: [] },
      },
      /Loop y can't be unrolled: its number of steps isn't a constant above 0\. If it generates/,
    ],
    [
      'that ends when a condition is false',
      { nodes: [['Loop', ['three', '', 'x'], ['y'], { body: loopBody(less) }]] },
      /Loop y can't be unrolled: it ends when a condition that the steps compute is false/,
    ],
    [
      'whose steps share their weights',
      { nodes: [...beforehand, ['Loop', ['three', '', 'x'], ['y'], { body: shared }]] },
      /Loop y can't be unrolled: its steps don't take weights of their own from stacks/,
    ],
    [
      'over another axis of the weights',
      {
        nodes: [
          [
            'Scan',
            ['x', 'across', 'down'],
            ['y'],
            { body: scanBody(), num_scan_inputs: 2, scan_input_axes: [1, 0] },
          ],
        ],
      },
      /Scan y can't be unrolled: its steps read across along axis 1, and only parts along axis 0/,
    ],
  ])('%s stay there, and the reason names the node', async (_, model, reason) => {
    const { ids, warnings } = await opened(model);
    expect(ids).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/^The residual stream is inside body of /)]);
    expect(warnings[0]).toMatch(reason);
  });

  it('that runs a decoder for each token is to be opened by itself', async () => {
    const decoder = graph({
      inputs: { h: ['n', width] },
      outputs: { next: ['n', width] },
      nodes: block('u', 'd'),
      initializers: [rawTensor('u', [width, inner]), rawTensor('d', [inner, width])],
    });
    const { ids, warnings } = await opened({
      nodes: [['com.microsoft:GreedySearch', ['x'], ['y'], { decoder }]],
    });
    expect(ids).toEqual([]);
    expect(warnings[0]).toMatch(
      /inside decoder of GreedySearch y .*GreedySearch runs its decoder for each token: open the decoder/,
    );
  });

  it('beside layers of the main graph are found with them', async () => {
    const attributes = { body: scanBody(), num_scan_inputs: 2 };
    const { ids } = await opened({
      nodes: [
        ...beforehand,
        ['Squeeze', ['first', 'zero'], ['u0']],
        ['Squeeze', ['last', 'zero'], ['d0']],
        ...block('u0', 'd0', 'x', 'h0'),
        ['Scan', ['h0', 'up', 'down'], ['y'], attributes],
      ],
    });
    expect(ids).toEqual([...three, 'block.3.feedforward']);
    await expectSame();
  });
});
