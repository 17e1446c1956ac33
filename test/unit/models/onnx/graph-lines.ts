import { classifyBranch } from '../../../../extension/core/models/onnx/stream/classify';
import { GraphIndex } from '../../../../extension/core/models/onnx/graph-index';
import { findResidualBranches } from '../../../../extension/core/models/onnx/stream/residual-stream';
import { graph, rawTensor } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';

export const weights = ['w', 'v', 'scale', 'bias'].map((name) => rawTensor(name, [4, 4]));

export function findIndex(
  nodes: readonly NodeLine[],
  outputs: readonly string[] = ['y'],
): GraphIndex {
  const shape = ['batch', 'sequence', 4];
  const ports = Object.fromEntries(outputs.map((name) => [name, shape]));
  const text = { inputs: { x: shape, past: shape }, outputs: ports, nodes, initializers: weights };
  return new GraphIndex(graph(text), 'model.onnx');
}

export function stream(index: GraphIndex): (readonly [string, string, string, boolean])[] {
  return findResidualBranches(index).map(({ start, end, nodes, joined }) => [
    start,
    end,
    classifyBranch(nodes, index, []),
    joined,
  ]);
}

/** Lines from `input` to `output` through self-attention; `tag` keeps names apart. */
export function attention(tag: string, input: string, output: string): NodeLine[] {
  return [
    ['MatMul', [input, 'w'], [`${tag}q`]],
    ['MatMul', [input, 'v'], [`${tag}k`]],
    ['MatMul', [`${tag}q`, `${tag}k`], [`${tag}scores`]],
    ['Softmax', [`${tag}scores`], [`${tag}p`]],
    ['MatMul', [`${tag}p`, `${tag}k`], [output]],
  ];
}

/** Lines through a feed-forward with the tanh form of GELU, which itself adds x to x³. */
export function feedforward(tag: string, input: string, output: string): NodeLine[] {
  return [
    ['MatMul', [input, 'w'], [`${tag}a`]],
    ['Pow', [`${tag}a`, 'scale'], [`${tag}cube`]],
    ['Mul', [`${tag}cube`, 'scale'], [`${tag}scaled`]],
    ['Add', [`${tag}a`, `${tag}scaled`], [`${tag}gelu`]],
    ['Tanh', [`${tag}gelu`], [`${tag}t`]],
    ['MatMul', [`${tag}t`, 'v'], [`${tag}product`]],
    ['Add', ['bias', `${tag}product`], [output]],
  ];
}

export const norm = (input: string, output: string): NodeLine => [
  'LayerNormalization',
  [input, 'scale', 'bias'],
  [output],
];
