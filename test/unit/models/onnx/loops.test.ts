import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import { DataType } from '../../../../extension/core/onnx/graph-builder';
import type { GraphProto } from '../../../../extension/core/onnx/proto/onnx_pb';
import { prune } from '../../export/pruning';
import { relativeError } from '../../fixtures';
import { graph, intTensor, modelBytes, rawTensor } from '../../onnx-bytes';
import type { GraphText, NodeLine } from '../../onnx-bytes';
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

/** Changes of a step to the stream, and the values that it passes on. */
const mean: NodeLine = ['ReduceMean', ['h'], ['given'], { axes: [0], keepdims: 0 }];

const scratch = new LoopFile();

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
      'a Loop that takes its weights through Identity, and passes them to an earlier node',
      {
        nodes: [
          ['Neg', ['z'], ['y']],
          [
            'Loop',
            ['three', '', 'x'],
            ['z'],
            {
              body: graph({
                inputs: { step_ids: [], going: [], h: ['n', width] },
                outputs: { on: [], next: ['n', width] },
                nodes: [
                  ['Identity', ['up'], ['all_up']],
                  ['Identity', ['down'], ['all_down']],
                  ['Gather', ['all_up', 'step_ids'], ['u']],
                  ['Gather', ['all_down', 'step_ids'], ['d']],
                  ...block('u', 'd'),
                  ['Identity', ['going'], ['on']],
                ],
              }),
            },
          ],
        ],
      },
    ],
    [
      'a Scan in a file that lists weights as inputs too',
      {
        inputs: { up: [steps, width, inner], down: [steps, inner, width] },
        nodes: [['Scan', ['x', 'up', 'down'], ['y'], { body: scanBody(), num_scan_inputs: 2 }]],
      },
    ],
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

  it.each(cases)('of %s are found, each with its own weights', async (_, model) => {
    const { ids, warnings, summary, file } = await scratch.opened(model);
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

  it.each(cases)("of %s equal ONNX Runtime's results for the loop", async (_, model) => {
    scratch.write(model);
    await scratch.expectSame();
  });

  it.each(cases)('of %s can be removed, and the rest is written', async (name, model) => {
    scratch.write(model);
    const out = join(scratch.folder, name);
    const { verification } = await prune(scratch.path, ['block.1.feedforward'], out, {
      format: 'onnx',
    });
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
    const removedStep = reversed ? steps - 2 : 1;
    const whole = await openSession(toBytes(model, 17, silenced(removedStep)));
    const expected = await whole.run({ x: rows });
    await whole.release();
    expect(
      relativeError(y?.data as Float32Array, expected['y']?.data as Float32Array),
    ).toBeLessThan(1e-5);
  });

  it('may have weights in the body, which older files list among its inputs', async () => {
    const shift = rawTensor('shift', [width, width], noise(width * width, 3));
    const body = graph({
      inputs: { h: ['n', width], u: [width, inner], d: [inner, width], shift: [width, width] },
      outputs: { shifted: ['n', width] },
      nodes: [...block('u', 'd'), ['MatMul', ['next', 'shift'], ['shifted']]],
      initializers: [shift],
    });
    const { warnings } = await scratch.opened({
      nodes: [['Scan', ['x', 'up', 'down'], ['y'], { body, num_scan_inputs: 2 }]],
    });
    expect(warnings.join()).toMatch(/Scan \S+ runs 3 steps over stacked weights/);
    await scratch.expectSame();
  });

  it('support their own states, such as caches, which are no weights', async () => {
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
    const { ids } = await scratch.opened({
      nodes: [['Scan', ['x', 'up', 'down', 'past'], ['y', 'present'], attributes]],
      inputs: { past: ['n', steps, width] },
      outputs: { present: [steps, 'n', width] },
    });
    expect(ids).toEqual(three);
    const past = Float32Array.from({ length: 4 * steps * width }, (_, i) => Math.cos(i));
    await scratch.expectSame({ x: rows, past: new Tensor('float32', past, [4, steps, width]) });
  });

  it('are found for a Scan over blocks in a Loop over groups of blocks', async () => {
    const loopNodes = graph({
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
      nodes: [['Loop', ['two', '', 'x'], ['y'], { body: loopNodes }]],
      initializers: [
        intTensor('two', [groups]),
        rawTensor('ups', [groups, steps, width, inner], noise(groups * steps * width * inner, 3)),
        rawTensor('downs', [groups, steps, inner, width], noise(groups * steps * width * inner, 4)),
      ],
    };
    writeFileSync(scratch.path, modelBytes(text));
    const { summary } = await openOnnxModel(scratch.path);
    expect(summary.sublayers.map(({ parameters }) => parameters)).toEqual(
      Array.from({ length: groups * steps }, () => 2 * width * inner),
    );
    await scratch.expectSame();
  });

  it('may contain an If that reads the values of a step', async () => {
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
    const { ids } = await scratch.opened({
      nodes: [['Loop', ['three', '', 'x'], ['y'], { body }]],
    });
    expect(ids).toEqual(three);
    await scratch.expectSame();
  });

  it.each([
    ['by its number', [['Equal', ['step_ids', 'one'], ['chosen']]]],
    [
      'by what is left of its number',
      [
        ['Mod', ['step_ids', 'two'], ['odd']],
        ['Cast', ['odd'], ['chosen'], { to: DataType.BOOL }],
      ],
    ],
  ] satisfies [string, NodeLine[]][])(
    'may have other layers in a step, %s, in an If of its body',
    async (_, chosen) => {
      const branch = (to: string, operator: string): GraphProto =>
        graph({
          inputs: {},
          outputs: { [to]: ['n', width] },
          nodes: [
            ['Gather', ['up', 'step_ids'], ['u']],
            ['Gather', ['down', 'step_ids'], ['d']],
            ['MatMul', ['h', 'u'], ['wide']],
            [operator, ['wide'], ['active']],
            ['MatMul', ['active', 'd'], ['f']],
            ['Add', ['h', 'f'], [to]],
          ],
        });
      const body = graph({
        inputs: { step_ids: [], going: [], h: ['n', width] },
        outputs: { going: [], next: ['n', width] },
        nodes: [
          ...chosen,
          [
            'If',
            ['chosen'],
            ['next'],
            { then_branch: branch('then', 'Sin'), else_branch: branch('else', 'Tanh') },
          ],
        ],
      });
      const { ids, summary } = await scratch.opened({
        nodes: [['Loop', ['three', '', 'x'], ['y'], { body }]],
        initializers: [intTensor('two', [2])],
      });
      expect(ids).toHaveLength(steps);
      expect(summary.sublayers.map(({ parameters }) => parameters)).toEqual(
        Array.from({ length: steps }, () => 2 * width * inner),
      );
      expect(summary.ops).not.toHaveProperty('If');
      await scratch.expectSame();
    },
  );

  it('in opset 11 are unrolled in its operators', async () => {
    const attributes = { body: scanBody([mean], { given: [width] }), num_scan_inputs: 2 };
    const { ids } = await scratch.opened(
      {
        nodes: [['Scan', ['x', 'up', 'down'], ['y', 'all'], attributes]],
        outputs: { all: [steps, width] },
      },
      11,
    );
    expect(ids).toEqual(three);
    await scratch.expectSame();
  });
});
