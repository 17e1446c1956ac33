import { describe, expect, it, vi } from 'vitest';
import { removeBranches } from '../../../../extension/core/models/onnx/edits/removal-nodes';
import { findResidualBranches } from '../../../../extension/core/models/onnx/stream/residual-stream';
import type { NodeLine } from '../../onnx-bytes';
import { attention, feedforward, findIndex, norm, stream } from './graph-lines';

describe('the residual stream of a graph', () => {
  const preNorm: NodeLine[] = [
    norm('x', 'n0'),
    ...attention('0.', 'n0', 'f0'),
    ['Add', ['x', 'f0'], ['h1']],
    norm('h1', 'n1'),
    ...feedforward('1.', 'n1', 'f1'),
    ['Add', ['f1', 'h1'], ['h2']],
    norm('h2', 'last'),
    ['MatMul', ['last', 'w'], ['y']],
  ];

  it('is followed through plain adds, in any order of operands and nodes', () => {
    const expected = [
      ['x', 'h1', 'attention', true],
      ['h1', 'h2', 'feedforward', true],
    ];
    expect(stream(findIndex(preNorm))).toEqual(expected);
    expect(stream(findIndex([...preNorm].reverse()))).toEqual(expected);
  });

  it.each([
    ['LayerNormalization', ['scale', 'bias']],
    ['SimplifiedLayerNormalization', ['scale']],
  ])('is followed through Skip%s with the stream first or second', (kind, parameters) => {
    for (const first of [true, false]) {
      const skip = (stays: string, added: string, normed: string, sum: string): NodeLine => [
        `com.microsoft:Skip${kind}`,
        [...(first ? [stays, added] : [added, stays]), ...parameters],
        [normed, '', '', sum],
      ];
      const index = findIndex([
        norm('x', 'n0'),
        ...attention('0.', 'n0', 'f0'),
        skip('x', 'f0', 'n1', 'h1'),
        ...feedforward('1.', 'n1', 'f1'),
        skip('h1', 'f1', 'last', 'h2'),
        ['MatMul', ['last', 'w'], ['y']],
      ]);
      const [one, two] = stream(index);
      expect(one).toEqual(['x', 'h1', 'attention', true]);
      expect(two?.slice(0, 1)).toEqual(['h1']);
    }
  });

  it('includes the norms of post-norm models, also the last and fused ones', () => {
    const plain = findIndex([
      ...attention('0.', 'x', 'f0'),
      ['Add', ['f0', 'x'], ['sum1']],
      norm('sum1', 'h1'),
      ...feedforward('1.', 'h1', 'f1'),
      ['Add', ['f1', 'h1'], ['sum2']],
      norm('sum2', 'h2'),
      ['MatMul', ['h2', 'w'], ['y']],
    ]);
    const fused = findIndex([
      ...attention('0.', 'x', 'f0'),
      ['com.microsoft:SkipLayerNormalization', ['f0', 'x', 'scale', 'bias'], ['h1']],
      ...feedforward('1.', 'h1', 'f1'),
      ['com.microsoft:SkipLayerNormalization', ['f1', 'h1', 'scale', 'bias'], ['h2']],
      ['MatMul', ['h2', 'w'], ['y']],
    ]);
    for (const index of [plain, fused]) {
      expect(stream(index)).toEqual([
        ['x', 'h1', 'attention', true],
        ['h1', 'h2', 'feedforward', true],
      ]);
      const branches = findResidualBranches(index);
      const { live } = removeBranches(index, branches);
      expect([...live].map(({ op }) => op)).toEqual([
        'MatMul',
        'LayerNormalization',
        'LayerNormalization',
      ]);
    }
  });

  it('removes nodes that only clamp values', () => {
    const index = findIndex([
      ...feedforward('0.', 'x', 'f0'),
      ['Add', ['f0', 'x'], ['sum1']],
      ['Relu', ['sum1'], ['h1']],
      ...feedforward('1.', 'h1', 'f1'),
      ['Add', ['f1', 'h1'], ['sum2']],
      ['Relu', ['sum2'], ['y']],
    ]);
    const branches = findResidualBranches(index);
    expect(branches.map(({ sum, end }) => [sum, end])).toEqual([
      ['h1', 'h1'],
      ['y', 'y'],
    ]);
    expect(removeBranches(index, branches).live.size).toBe(0);
  });

  it('has parallel branches, and norms after branches (sandwich)', () => {
    const index = findIndex([
      norm('x', 'n0'),
      ...attention('0.', 'n0', 'a'),
      ...feedforward('1.', 'n0', 'f'),
      ['Add', ['a', 'f'], ['both']],
      ['Add', ['both', 'x'], ['h1']],
      norm('h1', 'n1'),
      ...feedforward('2.', 'n1', 'f2'),
      norm('f2', 'f2n'),
      ['Add', ['h1', 'f2n'], ['h2']],
      ['MatMul', ['h2', 'w'], ['y']],
    ]);
    const [parallel, sandwich] = findResidualBranches(index);
    expect(parallel).toMatchObject({ start: 'x', end: 'h1' });
    expect(parallel?.terms).toHaveLength(2);
    expect(sandwich).toMatchObject({ start: 'h1', end: 'h2', terms: ['f2n'] });
  });

  it("of an encoder comes before the decoder's", () => {
    const cross = (tag: string, input: string, states: string, output: string): NodeLine[] => [
      ['MatMul', [input, 'w'], [`${tag}q`]],
      ['MatMul', [states, 'v'], [`${tag}k`]],
      ['MatMul', [`${tag}q`, `${tag}k`], [`${tag}scores`]],
      ['Softmax', [`${tag}scores`], [`${tag}p`]],
      ['MatMul', [`${tag}p`, `${tag}k`], [output]],
    ];
    const nodes = [
      ...attention('d0.', 'past', 'd0'),
      ['Add', ['past', 'd0'], ['dh1']] as const,
      ...attention('e0.', 'x', 'e0'),
      ['Add', ['x', 'e0'], ['eh1']] as const,
      ...feedforward('e1.', 'eh1', 'e1'),
      ['Add', ['eh1', 'e1'], ['eh2']] as const,
      norm('eh2', 'states'),
      ...cross('d1.', 'dh1', 'states', 'd1'),
      ['Add', ['dh1', 'd1'], ['dh2']] as const,
      ...feedforward('d2.', 'dh2', 'd2'),
      ['Add', ['dh2', 'd2'], ['dh3']] as const,
      ['MatMul', ['dh3', 'w'], ['y']] as const,
    ];
    const expected = [
      ['x', 'eh1', 'attention', true],
      ['eh1', 'eh2', 'feedforward', false],
      ['past', 'dh1', 'attention', true],
      ['dh1', 'dh2', 'cross-attention', true],
      ['dh2', 'dh3', 'feedforward', true],
    ];
    expect(stream(findIndex(nodes))).toEqual(expected);
    expect(stream(findIndex([...nodes].reverse()))).toEqual(expected);
  });

  it('of two towers that read each other is ordered by their sums', () => {
    const read = (tag: string, input: string, other: string, output: string): NodeLine[] => [
      ['MatMul', [input, 'w'], [`${tag}a`]],
      ['Tanh', [`${tag}a`], [`${tag}t`]],
      ['Mul', [`${tag}t`, other], [`${tag}m`]],
      ['MatMul', [`${tag}m`, 'v'], [`${tag}f`]],
      ['Add', [input, `${tag}f`], [output]],
    ];
    const index = findIndex(
      [
        ...read('0.', 'x', 'past', 'a1'),
        ...read('1.', 'past', 'x', 'b1'),
        ...read('2.', 'a1', 'b1', 'a2'),
        ...read('3.', 'b1', 'a1', 'b2'),
      ],
      ['a2', 'b2'],
    );
    expect(stream(index).map(([, end]) => end)).toEqual(['a1', 'b1', 'a2', 'b2']);
  });

  it('includes the steps that keep half precision in its range', () => {
    const index = findIndex([
      ...attention('0.', 'x', 'f0'),
      ['Add', ['f0', 'x'], ['sum1']],
      ['Clip', ['sum1', 'scale', 'bias'], ['h1']],
      norm('h1', 'n1'),
      ...feedforward('1.', 'n1', 'f1'),
      ['Add', ['f1', 'h1'], ['sum2']],
      ['Clip', ['sum2', 'scale', 'bias'], ['h2']],
      norm('h2', 'last'),
      ['MatMul', ['last', 'w'], ['y']],
    ]);
    expect(stream(index)).toEqual([
      ['x', 'h1', 'attention', true],
      ['h1', 'h2', 'feedforward', true],
    ]);
  });

  it('is cross-attention if a fused operator takes its keys from elsewhere', () => {
    const fused = (key: string): NodeLine[] => [
      ['MatMul', ['x', 'w'], ['q']],
      ['MatMul', [key, 'v'], ['k']],
      ['com.microsoft:MultiHeadAttention', ['q', 'k', 'k'], ['f']],
      ['Add', ['x', 'f'], ['y']],
    ];
    const kinds = ['x', 'past'].map((key) => stream(findIndex(fused(key)))[0]?.[2]);
    expect(kinds).toEqual(['attention', 'cross-attention']);
  });

  it('is not confused with a mask that blocks share', () => {
    const block = (tag: string, input: string, output: string): NodeLine[] => [
      ['MatMul', [input, 'w'], [`${tag}k`]],
      ['MatMul', [`${tag}k`, `${tag}k`], [`${tag}scores`]],
      ['Add', [`${tag}scores`, 'mask'], [`${tag}masked`]],
      ['Softmax', [`${tag}masked`], [`${tag}p`]],
      ['MatMul', [`${tag}p`, 'v'], [`${tag}f`]],
      ['Add', [input, `${tag}f`], [output]],
    ];
    const index = findIndex([
      ['Cast', ['past'], ['mask']],
      ...block('0.', 'x', 'h1'),
      ...block('1.', 'h1', 'y'),
    ]);
    expect(stream(index)).toEqual([
      ['x', 'h1', 'attention', true],
      ['h1', 'y', 'attention', true],
    ]);
  });

  it('has branches whose sum is only a term of the next, such as an added map of half the size', () => {
    const index = findIndex([
      ['Conv', ['x', 'w'], ['c']],
      ['Conv', ['c', 'v'], ['f']],
      ['Add', ['c', 'f'], ['s']],
      ['Resize', ['past', 'scale'], ['wide']],
      ['Add', ['s', 'wide'], ['h']],
      ['Conv', ['h', 'w'], ['y']],
    ]);
    expect(stream(index)).toEqual([['c', 's', 'convolution', true]]);
  });

  it('is made of convolutions, and ends if the size changes', () => {
    const index = findIndex([
      ['Conv', ['x', 'w'], ['c0']],
      ['Add', ['c0', 'x'], ['s1']],
      ['Relu', ['s1'], ['r1']],
      ['Conv', ['r1', 'w'], ['wide']],
      ['Conv', ['r1', 'v'], ['short']],
      ['Add', ['wide', 'short'], ['h2']],
      ['Conv', ['h2', 'w'], ['c2']],
      ['Add', ['h2', 'c2'], ['y']],
    ]);
    expect(stream(index)).toEqual([
      ['x', 's1', 'convolution', false],
      ['h2', 'y', 'convolution', true],
    ]);
  });

  it('is the stream of the inner blocks, if a skip connection spans several', () => {
    const index = findIndex([
      ...preNorm.slice(0, -2),
      ['MatMul', ['h2', 'w'], ['u']],
      ['Add', ['u', 'x'], ['y']],
    ]);
    expect(stream(index).map(([, end]) => end)).toEqual(['h1', 'h2']);
  });

  it('is absent from a plain chain, and from adds without weights in the branch', () => {
    expect(stream(findIndex(feedforward('1.', 'x', 'y')))).toEqual([]);
    expect(
      stream(
        findIndex([
          ['Tanh', ['x'], ['t']],
          ['Add', ['x', 't'], ['y']],
        ]),
      ),
    ).toEqual([]);
  });

  it('distinguishes experts with gathered weights from attention', () => {
    const index = findIndex([
      ['MatMul', ['x', 'w'], ['router']],
      ['Softmax', ['router'], ['chances']],
      ['TopK', ['chances', 'scale'], ['best', 'which']],
      ['Gather', ['v', 'which'], ['chosen']],
      ['MatMul', ['x', 'chosen'], ['wide']],
      ['Sigmoid', ['wide'], ['gate']],
      ['Mul', ['gate', 'best'], ['weighed']],
      ['MatMul', ['weighed', 'v'], ['f']],
      ['Add', ['x', 'f'], ['y']],
    ]);
    expect(stream(index)).toEqual([['x', 'y', 'expert', true]]);
  });

  it('recognizes experts by their routing, and attention by fused operators', () => {
    const branch = (type: string): NodeLine[] => [
      ['MatMul', ['x', 'w'], ['a']],
      [type, ['a'], ['b']],
      ['MatMul', ['b', 'v'], ['f']],
      ['Add', ['x', 'f'], ['y']],
    ];
    const kinds = {
      TopK: 'expert',
      'com.microsoft:MoEPacked': 'expert',
      'com.microsoft:GroupQueryAttention': 'attention',
      'com.microsoft:SparsePagedAttention': 'attention',
      'com.microsoft:GatedDeltaNet': 'mixer',
      'com.microsoft:LinearAttention': 'mixer',
      'com.microsoft:CausalConvWithState': 'convolution',
      Relu: 'feedforward',
      'com.microsoft:SwiGLU': 'feedforward',
      'com.microsoft:MatMulNBitsMlp': 'feedforward',
      Identity: 'other',
    };
    for (const [type, kind] of Object.entries(kinds)) {
      expect(stream(findIndex(branch(type)))[0]?.[2], type).toBe(kind);
    }
  });

  it('removes only a branch with its keys and values', () => {
    const index = findIndex(
      [
        norm('x', 'n0'),
        ['MatMul', ['n0', 'w'], ['k']],
        ['Concat', ['past', 'k'], ['present'], { axis: 1 }],
        ['MatMul', ['k', 'present'], ['scores']],
        ['Softmax', ['scores'], ['p']],
        ['MatMul', ['p', 'v'], ['f0']],
        ['Add', ['x', 'f0'], ['h1']],
        ...feedforward('1.', 'h1', 'f1'),
        ['Add', ['h1', 'f1'], ['y']],
      ],
      ['y', 'present'],
    );
    const branches = findResidualBranches(index);
    expect(branches.map(({ end }) => end)).toEqual(['h1', 'y']);
    const { live, droppedOutputs, resolve } = removeBranches(index, branches.slice(0, 1));
    expect([...droppedOutputs]).toEqual(['present']);
    expect(resolve('h1')).toBe('x');
    expect(live.size).toBe(8);
    const none = removeBranches(index, branches);
    expect(none.live.size).toBe(0);
    expect(none.resolve('y')).toBe('x');
  });

  it('is not looked for in graphs that run in a circle or make a value twice', () => {
    expect(() =>
      findIndex([
        ['Add', ['x', 'b'], ['a']],
        ['Relu', ['a'], ['b']],
      ]),
    ).toFailWith({ code: 'onnx-graph-cyclic', file: 'model.onnx', field: 'a' });
    expect(() =>
      findIndex([
        ['Relu', ['x'], ['y']],
        ['Tanh', ['x'], ['y']],
      ]),
    ).toFailWith({ code: 'onnx-value-produced-twice', file: 'model.onnx', field: 'y' });
  });

  it('needs a number of searches proportional to the blocks of the graph', () => {
    const searches = (blocks: number): number => {
      const value = (i: number): string => (i === 0 ? 'x' : i === blocks ? 'y' : `h${i}`);
      const nodes = Array.from({ length: blocks }, (_, i): NodeLine[] => [
        ...feedforward(`${i}.`, value(i), `f${i}`),
        ['Add', [value(i), `f${i}`], [value(i + 1)]],
      ]).flat();
      const index = findIndex(nodes);
      const [between, descendants] = [vi.spyOn(index, 'between'), vi.spyOn(index, 'descendants')];
      expect(stream(index)).toHaveLength(blocks);
      return between.mock.calls.length + descendants.mock.calls.length;
    };
    const few = searches(100);
    expect(few).toBeGreaterThanOrEqual(100);
    expect(searches(400)).toBeLessThan(5 * few);
  });
});
