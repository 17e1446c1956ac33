import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { SessionPool } from '../../../extension/core/runtime/session-pool';
import { floatTensor } from '../../../extension/core/runtime/tensors';

const size = 3072;
const sessions = 8;

/** The sum of x·xᵀ of a column: 36 MiB between one number and another. */
function buildOuterProduct(key: string): GraphBuilder {
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

it('keeps sessions, but not the memory of their runs', async () => {
  const pool = new SessionPool(
    { device: 'cpu' },
    { bytes: Number.POSITIVE_INFINITY, repackedBytes: 0 },
  );
  const feeds = {
    x: floatTensor(new Float32Array(size).fill(1), [size, 1]),
    y: floatTensor(new Float32Array(size).fill(2), [1, size]),
  };
  const use = async (key: string): Promise<number> =>
    pool.use({ key, bytes: 0, build: () => buildOuterProduct(key) }, async (session) => {
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

it('creates one session for uses that overlap, and releases it once', async () => {
  const pool = new SessionPool({ device: 'cpu' }, { bytes: 100, repackedBytes: 0 });
  let [built, released] = [0, 0];
  const use = async (key: string, bytes: number): Promise<void> =>
    pool.use(
      {
        ...{ key, bytes },
        build: () => {
          built++;
          return buildOuterProduct(key);
        },
      },
      async (session) => {
        if (!watched.has(session)) {
          watched.add(session);
          const release = session.release.bind(session);
          session.release = async () => {
            released++;
            await release();
          };
        }
        return Promise.resolve();
      },
    );
  const watched = new Set<object>();
  await Promise.all(Array.from({ length: 16 }, async () => use('same', 60)));
  expect(built).toBe(1);
  // Its bytes were reserved before it was there, so a second one doesn't fit and is released after its use.
  await Promise.all([use('other', 60), use('third', 60)]);
  expect({ built, released }).toEqual({ built: 3, released: 2 });
  await pool.dispose();
  expect(released).toBe(3);
});

it('forgets a session that could not be created', async () => {
  const pool = new SessionPool({ device: 'cpu' }, { bytes: 100, repackedBytes: 0 });
  const use = async (build: () => GraphBuilder): Promise<string> =>
    pool.use({ key: 'x', bytes: 60, build }, async () => Promise.resolve('used'));
  const failing = (): GraphBuilder => {
    throw new Error('no graph');
  };
  await expect(use(failing)).rejects.toThrow('no graph');
  expect(await use(() => buildOuterProduct('x'))).toBe('used');
  await pool.dispose();
});
