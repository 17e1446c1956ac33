import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { outputTensor } from '../../../extension/core/runtime/tensors';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

// Fails on processors without integer dot products alone.
it.each([true, false])(
  'sums of the largest int8 products are whole, prepacked: %s',
  async (prepack) => {
    const [inner, columns] = [64, 16];
    const file = join(folder, 'weights');
    writeFileSync(file, new Uint8Array(inner * columns).fill(127));
    const graph = new GraphBuilder('products');
    const x = graph.input('x', DataType.UINT8, [1, inner]);
    const place = { file, offset: 0, length: inner * columns, name: 'weights' };
    const weights = graph.weight({ ...place, dataType: DataType.INT8, shape: [inner, columns] });
    const product = graph.op('MatMulInteger', [x, weights]);
    graph.output('y', product, DataType.INT32, [1, columns]);
    const session = await createSession(graph, { device: 'cpu', prepack });
    const rows = new Uint8Array(inner).fill(255);
    const outputs = await session.run({ x: new Tensor('uint8', rows, [1, inner]) });
    expect([...(outputTensor(outputs, 'y').data as Int32Array)]).toEqual(
      new Array<number>(columns).fill(255 * 127 * inner),
    );
    await session.release();
  },
);
