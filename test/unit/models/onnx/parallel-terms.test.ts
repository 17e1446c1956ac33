import { describe, expect, it } from 'vitest';
import { GraphIndex } from '../../../../extension/core/models/onnx/graph-index';
import {
  findChain,
  separateTerms,
} from '../../../../extension/core/models/onnx/stream/parallel-terms';
import { removeBranches } from '../../../../extension/core/models/onnx/edits/removal-nodes';
import { findCandidates } from '../../../../extension/core/models/onnx/stream/residual-candidates';
import { findResidualBranches } from '../../../../extension/core/models/onnx/stream/residual-stream';
import { graph } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';
import { attention, feedforward, norm, stream, weights } from './graph-lines';

describe('parallel branches of a graph, added as', () => {
  const parallel = (...sum: readonly NodeLine[]): GraphIndex => {
    const nodes = [
      norm('x', 'n0'),
      ...attention('0.', 'n0', 'a'),
      ...feedforward('1.', 'n0', 'f'),
      ...sum,
      ['MatMul', ['h', 'w'], ['y']] as const,
    ];
    const text = { inputs: { x: [1] }, outputs: { y: [1] }, nodes, initializers: weights };
    const stored = graph(text);
    const index = new GraphIndex(stored, 'model.onnx');
    const node = separateTerms(stored.node, index, findCandidates(index));
    return node === undefined ? index : new GraphIndex({ ...stored, node }, 'model.onnx');
  };
  const add = (a: string, b: string, sum: string): NodeLine => ['Add', [a, b], [sum]];
  const attentionFirst = [
    ['x', 's', 'attention', true],
    ['s', 'h', 'feedforward', true],
  ];

  it.each([
    ['(a + f) + x', [add('a', 'f', 's'), add('s', 'x', 'h')], attentionFirst],
    ['x + (f + a)', [add('f', 'a', 's'), add('x', 's', 'h')], attentionFirst],
    ['(x + a) + f', [add('x', 'a', 's'), add('s', 'f', 'h')], attentionFirst],
    [
      '(f + x) + a, as it stands',
      [add('f', 'x', 's'), add('s', 'a', 'h')],
      [
        ['x', 's', 'feedforward', true],
        ['s', 'h', 'attention', true],
      ],
    ],
    [
      '((a + bias) + f) + x',
      [add('a', 'bias', 'ab'), add('ab', 'f', 's'), add('s', 'x', 'h')],
      attentionFirst,
    ],
    [
      'SkipLayerNormalization(x, a + f)',
      [
        add('a', 'f', 's'),
        ['com.microsoft:SkipLayerNormalization', ['x', 's', 'scale', 'bias'], ['n1', '', '', 'h']],
      ],
      attentionFirst,
    ],
  ] as const)('%s, are followed one after the other', (_, sum, expected) => {
    const index = parallel(...sum);
    expect(stream(index)).toEqual(expected);
    const branches = findResidualBranches(index);
    expect(branches.map(({ source }) => source)).toEqual(['x', 'x']);
    // The norm is of both, and therefore of neither.
    const [first, second] = branches.map(({ nodes }) => nodes);
    expect([...(first ?? [])].filter((node) => second?.has(node))).toEqual([]);
    expect(index.nodes.filter(({ outputs: [name] }) => name === 'n0')).toHaveLength(1);

    const outputs = (removed: readonly number[]): (string | undefined)[] => {
      const removedBranches = branches.filter((_branch, i) => removed.includes(i));
      const { live, resolve } = removeBranches(index, removedBranches);
      const names = [...live].flatMap((node) => node.outputs);
      return [...['a', 'f'].filter((name) => names.includes(name)), resolve('h')];
    };
    const both = ['a', 'f', 'h'];
    expect(outputs([])).toEqual(both);
    const last = branches[1]?.terms[0] === 'a' ? 'a' : 'f';
    expect(outputs([1])).toEqual([...both.slice(0, 2).filter((name) => name !== last), 's']);
    expect(outputs([0])).toEqual([last, 'h']);
    expect(outputs([0, 1])).toEqual(['x']);
  });

  it('(a + f) + bias + x, stay one: the owner of the bias is ambiguous', () => {
    const index = parallel(add('a', 'f', 's'), add('s', 'bias', 'sb'), add('sb', 'x', 'h'));
    const [both, ...others] = findResidualBranches(index);
    expect(both).toMatchObject({ start: 'x', end: 'h', source: 'x' });
    expect(both?.terms).toHaveLength(2);
    expect(others).toEqual([]);
    expect(findCandidates(index).map((candidate) => findChain(candidate, index))).toEqual([
      undefined,
    ]);
  });
});
