import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openOnnx } from '../../../../extension/core/checkpoints/onnx-file';
import { openModel } from '../../../../extension/core/models/open-model';
import { prune } from '../../export/pruning';
import { modelBytes, rawTensor } from '../../onnx-bytes';
import type { GraphText, NodeLine } from '../../onnx-bytes';
import { temporaryFolder } from '../../temporary-folder';

const root = temporaryFolder();
const [vocabulary, positions, width] = [12, 24, 8];
const int32 = 6;

function write(name: string, text: GraphText): string {
  const path = join(root, name);
  writeFileSync(path, modelBytes(text));
  return path;
}

const norm = (input: string, output: string): NodeLine => [
  'LayerNormalization',
  [input, 'scale', 'bias'],
  [output],
];

/** GPT-2 as ONNX Runtime's optimizer leaves it: the first norm is a part of the embedding. */
const optimized: GraphText = {
  inputs: { input_ids: [1, 'sequence'] },
  outputs: { logits: [1, 'sequence', vocabulary] },
  nodes: [
    ['Cast', ['input_ids'], ['ids'], { to: int32 }],
    [
      'com.microsoft:EmbedLayerNormalization',
      ['ids', '', 'words', 'positions', '', 'first.scale', 'first.bias'],
      ['n0', 'mask', 'h0'],
      { epsilon: 1e-5 },
    ],
    [
      'com.microsoft:Attention',
      ['n0', 'qkv', 'qkv.bias'],
      ['heads'],
      { num_heads: 2, unidirectional: 1 },
    ],
    ['MatMul', ['heads', 'out'], ['f0']],
    ['Add', ['f0', 'h0'], ['h1']],
    norm('h1', 'n1'),
    ['MatMul', ['n1', 'up'], ['inner']],
    ['Relu', ['inner'], ['active']],
    ['MatMul', ['active', 'down'], ['f1']],
    ['Add', ['f1', 'h1'], ['h2']],
    norm('h2', 'n2'),
    ['MatMul', ['n2', 'head'], ['logits']],
  ],
  initializers: [
    rawTensor('words', [vocabulary, width]),
    rawTensor('positions', [positions, width]),
    ...['first.scale', 'first.bias', 'scale', 'bias'].map((name) => rawTensor(name, [width])),
    rawTensor('qkv', [width, 3 * width]),
    rawTensor('qkv.bias', [3 * width]),
    rawTensor('out', [width, width]),
    rawTensor('up', [width, 2 * width]),
    rawTensor('down', [2 * width, width]),
    rawTensor('head', [width, vocabulary]),
  ],
};

describe('a stream that begins inside a fused embedding', () => {
  it('can remove its first attention, whose norm stays with the embedding', async () => {
    const path = write('optimized.onnx', optimized);
    const { sublayers } = (await openModel(path)).summary;
    expect(sublayers.map(({ id, parameters }) => [id, parameters])).toEqual([
      ['block.0.attention', 4 * width * width + 3 * width],
      ['block.0.feedforward', 4 * width * width],
    ]);
    for (const { id } of sublayers) {
      const out = join(root, id);
      const { verification } = await prune(path, [id], out, { format: 'onnx' });
      expect(verification.relativeError).toBeLessThan(1e-5);
    }
  });
});

describe('a graph that computes nothing', () => {
  const y = { y: [4] };

  it('reports constant outputs', async () => {
    const path = write('constant.onnx', {
      inputs: {},
      outputs: y,
      nodes: [['Add', ['a', 'a'], ['y']]],
      initializers: [rawTensor('a', [4])],
    });
    const model = await openModel(path);
    expect(() => {
      model.requireRunnable();
    }).toFailWith({ code: 'sublayers-missing', file: 'constant.onnx' });
  });

  it('reports an empty graph', async () => {
    const path = write('empty.onnx', { inputs: y, outputs: y, nodes: [] });
    await expect(openOnnx(path)).rejects.toFailWith({
      code: 'onnx-graph-empty',
      file: 'empty.onnx',
    });
  });
});
