import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { SessionPool } from '../../../extension/core/runtime/session-pool';
import { floatTensor } from '../../../extension/core/runtime/tensors';

const size = 3072;
const sessions = 8;

/** The sum of x·xᵀ of a column: 36 MiB between one number and another. */
function outerProduct(key: string): GraphBuilder {
  const graph = new GraphBuilder(key);
  const x = graph.input('x', DataType.FLOAT, [size, 1]);
  const y = graph.input('y', DataType.FLOAT, [1, size]);
  graph.output(
    'sum',
    graph.reduce('ReduceSum', graph.op('MatMul', [x, y]), [0, 1], 0),
    DataType.FLOAT,
    [],
  );
  return graph;
}

it('keeps sessions, but not what their runs took', async () => {
  const pool = new SessionPool(
    { device: 'cpu' },
    { bytes: Number.POSITIVE_INFINITY, repackedBytes: 0 },
  );
  const feeds = {
    x: floatTensor(new Float32Array(size).fill(1), [size, 1]),
    y: floatTensor(new Float32Array(size).fill(2), [1, size]),
  };
  const use = async (key: string): Promise<number> =>
    pool.use({ key, bytes: 0, build: () => outerProduct(key) }, async (session) => {
      const { sum } = await session.run(feeds);
      return Number(sum?.data[0]);
    });
  try {
    expect(await use('first')).toBe(2 * size * size);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < sessions; i++) {
      await use(`further ${i}`);
    }
    const productBytes = size * size * Float32Array.BYTES_PER_ELEMENT;
    expect(process.memoryUsage.rss() - before).toBeLessThan((sessions / 2) * productBytes);
  } finally {
    await pool.dispose();
  }
});
