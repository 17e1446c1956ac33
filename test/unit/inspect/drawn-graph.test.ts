import { describe, expect, it } from 'vitest';
import { DrawnGraph, Frame, StoredNames } from '../../../extension/core/inspect/flow/drawn-graph';
import { inEnglish, verbatim } from '../../../extension/core/message';
import { DataType } from '../../../extension/core/onnx/graph-builder';

const tensor = {
  ...{ name: 'a.weight', file: '/model.safetensors', dtype: 'U4', parameters: 16 },
  ...{ shape: [4, 4], offset: 0, bytes: 8, length: 8 },
};

function drawn(emit: (graph: DrawnGraph, x: string) => string) {
  const graph = new DrawnGraph(new StoredNames([tensor]), []);
  graph.output('y', emit(graph, graph.input('x', DataType.FLOAT, ['batch', 4])));
  const labels = graph.whole.children.map(({ label }) => inEnglish(label));
  return { graph, labels, edges: graph.edges.map(({ from, to }) => `${from} ${to}`) };
}

describe('a drawn graph', () => {
  it('draws a step under its own name if nobody has labelled it', () => {
    const { labels, edges } = drawn((graph, x) =>
      graph.step('my-scan', () => graph.op('Exp', [graph.op('Neg', [x])])),
    );
    expect(labels).toEqual(['my-scan', 'y']);
    expect(edges).toEqual(['model/x model/my-scan', 'model/my-scan model/y']);
  });

  it('draws operators outside of steps, except those that only move or scale by a constant', () => {
    const { labels } = drawn((graph, x) => {
      const moved = graph.op('Reshape', [x, graph.ints([-1])]);
      const shifted = graph.op('Add', [graph.op('Sigmoid', [moved]), graph.scalar(1)]);
      return graph.op('Mul', [shifted, x]);
    });
    expect(labels).toEqual(['Sigmoid', '×', 'y']);
  });

  it.each([
    ['stored in a dtype that cannot run', (graph: DrawnGraph) => graph.placeholder(tensor)],
    [
      'of an encoding',
      (graph: DrawnGraph) => graph.weight({ ...tensor, dataType: DataType.UINT4 }),
    ],
  ])('draws values computed from a weight %s in the box that reads it', (_, weight) => {
    const { graph, labels } = drawn((draw, x) =>
      draw.op('MatMul', [x, draw.op('Neg', [weight(draw)])]),
    );
    expect(labels).toEqual(['MatMul', 'y']);
    expect(graph.whole.children[0]).toMatchObject({ kind: 'weights', tensors: ['a.weight'] });
    expect(graph.edges.at(-1)?.shape).toEqual(['batch', 4]);
  });

  it("puts the branch into the sublayer's frame and its sum into the block's", () => {
    const { graph } = drawn((draw, x) => {
      const [block, sublayer] = (['block', 'sublayer'] as const).map(
        (kind) => new Frame(kind, kind, verbatim(kind)),
      );
      if (block === undefined || sublayer === undefined) throw new Error('no frames');
      draw.whole.items.push(block);
      return draw.drawSublayer(block, sublayer, () =>
        draw.within('sublayer', () => {
          const branch = draw.op('Tanh', [x]);
          return draw.step('sum', () => draw.op('Add', [x, branch]));
        }),
      );
    });
    expect(graph.edges.map(({ to }) => to)).toEqual([
      'sublayer/tanh',
      'block/sum',
      'block/sum',
      'model/y',
    ]);
  });

  it('does not draw masks and other side values', () => {
    const { labels, edges } = drawn((graph, x) => {
      const mask = graph.step('side', () => graph.op('Neg', [x]));
      return graph.op('Sigmoid', [graph.op('Add', [x, mask])]);
    });
    expect(labels).toEqual(['Sigmoid', 'y']);
    expect(edges).toEqual(['model/x model/sigmoid', 'model/sigmoid model/y']);
  });
});
