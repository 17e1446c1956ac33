import { fromBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { ModelProtoSchema } from '../../../extension/core/onnx/proto/onnx_pb';

it('appends computed weights to the initializers of a graph', () => {
  const graph = new GraphBuilder('weights');
  const x = graph.input('x', DataType.FLOAT, [1]);
  const shapes = [[3], [2, 100]];
  const weights = shapes.map((shape, i) => {
    const bytes = 4 * shape.reduce((size, length) => size * length);
    const source = async (): Promise<void> => Promise.resolve();
    graph.computedWeight({
      ...{ name: `w${i}`, dataType: DataType.FLOAT, shape, bytes, source },
      emit: (inner) => inner.scalar(i),
    });
    const values = Uint8Array.from({ length: bytes }, (_, at) => at + i);
    return { name: `w${i}`, dataType: DataType.FLOAT, shape, bytes: values };
  });
  graph.output('y', graph.op('Mul', [x, graph.scalar(2)]), DataType.FLOAT, [1]);
  const { toBytes } = graph.forSession();
  const locate = (): never => {
    throw new Error('no weight is in a file');
  };
  const { graph: read } = fromBinary(ModelProtoSchema, toBytes(locate, weights));
  const { graph: alone } = fromBinary(ModelProtoSchema, toBytes(locate, []));
  expect(read?.node).toEqual(alone?.node);
  expect(read?.output).toEqual(alone?.output);
  expect(read?.initializer.slice(0, 1)).toEqual(alone?.initializer);
  expect(read?.initializer.slice(1)).toMatchObject(
    weights.map(({ name, dataType, shape, bytes }) => ({
      ...{ name, dataType, dims: shape.map(BigInt), rawData: bytes },
    })),
  );
});
