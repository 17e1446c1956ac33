import { describe, expect, it } from 'vitest';
import { GraphIndex } from '../../../../extension/core/models/onnx/graph-index';
import { ValueTypes } from '../../../../extension/core/models/onnx/values/value-types';
import { DataType } from '../../../../extension/core/onnx/graph-builder';
import { graph, rawTensor } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';
import { block, inner, loopBody, LoopFile, scanBody, three, width } from './loop-graphs';
import type { Written } from './loop-graphs';

const scratch = new LoopFile();

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
      /Loop y can't be unrolled: it can stop early, because its steps compute the condition/,
    ],
    [
      'whose steps share their weights',
      { nodes: [...beforehand, ['Loop', ['three', '', 'x'], ['y'], { body: shared }]] },
      /Loop y can't be unrolled: its steps don't read weights of their own from a stack/,
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
      /Scan y can't be unrolled: its steps read across along axis 1, and only axis 0 is contiguous/,
    ],
  ])('%s stay there, and the reason names the node', async (_, model, reason) => {
    const { ids, warnings } = await scratch.opened(model);
    expect(ids).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/^The residual stream is inside body of /)]);
    expect(warnings[0]).toMatch(reason);
  });

  it('that runs a decoder for each token suggests opening the decoder', async () => {
    const decoder = graph({
      inputs: { h: ['n', width] },
      outputs: { next: ['n', width] },
      nodes: block('u', 'd'),
      initializers: [rawTensor('u', [width, inner]), rawTensor('d', [inner, width])],
    });
    const { ids, warnings } = await scratch.opened({
      nodes: [['com.microsoft:GreedySearch', ['x'], ['y'], { decoder }]],
    });
    expect(ids).toEqual([]);
    expect(warnings[0]).toMatch(
      /inside decoder of GreedySearch y .*GreedySearch runs its decoder for each token: open the decoder/,
    );
  });

  it('that cannot be unrolled returns values of the types that its body declares', () => {
    const body = graph({
      inputs: { step_ids: [], going: [], h: ['n', width] },
      outputs: { on_mask: [], next: ['n', width], seen_ids: [] },
      nodes: [['Tanh', ['h'], ['next']]],
    });
    const scanned = graph({
      inputs: { h: ['n', width], item_ids: [] },
      outputs: { next: ['n', width], seen_ids: [] },
      nodes: [['Tanh', ['h'], ['next']]],
    });
    const outerParts = graph({
      inputs: { x: ['n', width], many_ids: ['n'] },
      outputs: {},
      nodes: [
        ['Loop', ['', '', 'x'], ['looped', 'numbers'], { body }],
        ['Scan', ['x', 'many_ids'], ['last', 'each'], { body: scanned, num_scan_inputs: 1 }],
      ],
    });
    const types = new ValueTypes(
      { graph: outerParts, initializers: new Map() },
      new GraphIndex(outerParts, scratch.path),
    );
    const names = ['looped', 'numbers', 'last', 'each'];
    expect(names.map((name) => types.of(name))).toEqual([
      DataType.FLOAT,
      DataType.INT64,
      DataType.FLOAT,
      DataType.INT64,
    ]);
  });

  it('are found together with layers of the main graph', async () => {
    const attributes = { body: scanBody(), num_scan_inputs: 2 };
    const { ids } = await scratch.opened({
      nodes: [
        ...beforehand,
        ['Squeeze', ['first', 'zero'], ['u0']],
        ['Squeeze', ['last', 'zero'], ['d0']],
        ...block('u0', 'd0', 'x', 'h0'),
        ['Scan', ['h0', 'up', 'down'], ['y'], attributes],
      ],
    });
    expect(ids).toEqual([...three, 'block.3.feedforward']);
    await scratch.expectSame();
  });
});
