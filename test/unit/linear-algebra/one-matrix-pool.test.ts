import { expect, it } from 'vitest';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import type { StoredMatrix } from '../../../extension/core/linear-algebra/matrix-source';
import { OneMatrixPool } from '../../../extension/core/linear-algebra/matrix-products';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { floatOutput, floatTensor } from '../../../extension/core/runtime/tensors';

const matrix = (name: string): StoredMatrix => {
  const tensor: LazyTensor = { name, dtype: 'F32', shape: [1], file: 'x', offset: 0, length: 4 };
  return { kind: 'stored', tensor };
};

it('sessions of a matrix stay until another matrix replaces them', async () => {
  const pool = new OneMatrixPool({ device: 'cpu' }, { bytes: 2 ** 30, repackedBytes: 0 });
  const built: string[] = [];
  const twice = async (name: string): Promise<number> => {
    const sessions = await pool.for(matrix(name));
    const build = (): GraphBuilder => {
      built.push(name);
      const graph = new GraphBuilder('twice');
      const x = graph.input('x', DataType.FLOAT, [1]);
      graph.output('y', graph.op('Add', [x, x]), DataType.FLOAT, [1]);
      return graph;
    };
    const outputs = await sessions.use({ key: `twice.${name}`, bytes: 4, build }, async (session) =>
      session.run({ x: floatTensor(new Float32Array([3]), [1]) }),
    );
    return floatOutput(outputs, 'y')[0] ?? Number.NaN;
  };
  try {
    for (const name of ['a', 'a', 'b', 'b', 'a']) {
      expect(await twice(name)).toBe(6);
    }
    expect(built).toEqual(['a', 'b', 'a']);
  } finally {
    await pool.dispose();
  }
});
