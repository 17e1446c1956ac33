import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { expect, it, vi } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import type { Value } from '../../../extension/core/onnx/graph-builder';
import type { RunnableGraph } from '../../../extension/core/models/layered-model';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from '../../../extension/core/onnx/proto/onnx_pb';
import type { NodeProto } from '../../../extension/core/onnx/proto/onnx_pb';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput } from '../../../extension/core/runtime/tensors';
import { modelBytes, rawTensor } from '../onnx-bytes';
import { temporaryFolder } from '../temporary-folder';
import { openSession } from '../whole-session';

// Result on processors without integer dot products.
vi.mock(import('../../../extension/core/runtime/limits/integer-sums'), () => ({
  integerSumsAreWhole: async () => Promise.resolve(false),
}));

const folder = temporaryFolder();
const size = 16;

/** int8 in a file, up to the largest. */
function numbers(
  graph: GraphBuilder,
  name: string,
  shape: readonly number[],
  fill?: number,
): Value {
  const length = shape.reduce((product, one) => product * one, 1);
  const file = join(folder, name);
  writeFileSync(
    file,
    Int8Array.from({ length }, (_, i) => fill ?? ((i * 89) % 255) - 127),
  );
  return graph.weight({ name, file, offset: 0, length, dataType: DataType.INT8, shape });
}

const scales = (graph: GraphBuilder): Value =>
  graph.floats(
    Array.from({ length: size }, (_, i) => 0.01 + i / 1000),
    [size],
  );

/** Two successive matmuls, with weights from `make`. */
function products(graph: GraphBuilder, x: Value, make: (name: string) => Value): Value {
  return graph.op('MatMul', [graph.op('MatMul', [x, make('first')]), make('second')]);
}

const graphs: Readonly<Record<string, (graph: GraphBuilder, x: Value) => Value>> = {
  'DequantizeLinear by column without zero points': (graph, x) =>
    products(graph, x, (name) =>
      graph.op('DequantizeLinear', [numbers(graph, name, [size, size]), scales(graph)]),
    ),
  'a matrix by column that is no factor': (graph, x) =>
    graph.op('Sub', [
      graph.op('DequantizeLinear', [numbers(graph, 'first', [size, size]), scales(graph)]),
      graph.op('ReduceMean', [x]),
    ]),
  'a zero point of several DequantizeLinear': (graph, x) => {
    const [scale, zero] = [graph.scalar(0.01), numbers(graph, 'zero', [], 3)];
    return products(graph, x, (name) =>
      graph.op('DequantizeLinear', [numbers(graph, name, [size, size]), scale, zero]),
    );
  },
  'a matrix of several products': (graph, x) =>
    products(graph, x, () =>
      graph.op('DequantizeLinear', [numbers(graph, 'first', [size, size]), graph.scalar(0.01)]),
    ),
  'a zero point of several integer products': (graph, x) => {
    const [quants = '', , least = ''] = graph.ops('DynamicQuantizeLinear', [x], 3);
    const zero = numbers(graph, 'zero', [], 3);
    const [a = '', b = ''] = ['first', 'second'].map((name) =>
      graph.op('MatMulInteger', [quants, numbers(graph, name, [size, size]), least, zero]),
    );
    return graph.op('Cast', [graph.op('Add', [a, b])], { to: DataType.FLOAT });
  },
  'DequantizeLinear by block without zero points': (graph, x) => {
    graph.requireOpset(21);
    const scale = graph.floats(
      Array.from({ length: 2 * size }, (_, i) => 0.01 + i / 1000),
      [2, size],
    );
    const attributes = { axis: 0, block_size: size / 2 };
    return products(graph, x, (name) =>
      graph.op('DequantizeLinear', [numbers(graph, name, [size, size]), scale], attributes),
    );
  },
  'scales that are computed': (graph, x) =>
    products(graph, x, (name) =>
      graph.op('DequantizeLinear', [
        numbers(graph, name, [size, size]),
        graph.op('Cast', [scales(graph)], { to: DataType.FLOAT }),
      ]),
    ),
};

/** Expects of a session what a graph gives that is run as it stands. */
async function expectWhole(graph: RunnableGraph): Promise<void> {
  const values = Float32Array.from({ length: 2 * size }, (_, i) => Math.sin(i));
  const x = new Tensor('float32', values, [2, size]);
  const session = await createSession(graph, { device: 'cpu', prepack: true });
  const found = floatOutput(await session.run({ x }), 'y');
  await session.release();

  const bytes = graph.toBytes(({ file, offset }) => ({ location: file.slice(1), offset }));
  const plain = await openSession(bytes, {
    graphOptimizationLevel: 'disabled',
    extra: { session: { model_external_initializers_file_folder_path: '/' } },
  });
  const expected = floatOutput(await plain.run({ x }), 'y');
  await plain.release();
  const largest = Math.max(...expected.map(Math.abs));
  // ONNX Runtime rounds the rows of products by dequantized matrices to 8 bits.
  found.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] ?? NaN)) / largest).toBeLessThan(0.02);
  });
}

it.each(Object.entries(graphs))('whole sums of %s', async (_, build) => {
  const graph = new GraphBuilder('integers');
  const y = build(graph, graph.input('x', DataType.FLOAT, [2, size]));
  graph.output('y', y, DataType.FLOAT);
  await expectWhole(graph);
});

it('whole sums of matrices and zero points that are constants of nodes', async () => {
  const constant = (name: string, dims: readonly number[]): NodeProto =>
    create(NodeProtoSchema, {
      opType: 'Constant',
      output: [name],
      attribute: [
        create(AttributeProtoSchema, {
          ...{ name: 'value', type: AttributeType.TENSOR },
          t: create(TensorProtoSchema, {
            ...{ dataType: DataType.INT8, dims: dims.map(BigInt) },
            rawData: Uint8Array.from({ length: dims.length === 0 ? 1 : size * size }, (_, i) => i),
          }),
        }),
      ],
    });
  const model = fromBinary(
    ModelProtoSchema,
    modelBytes({
      inputs: { x: [2, size] },
      outputs: { y: [2, size] },
      nodes: [
        ['DequantizeLinear', ['first', 'columns'], ['a']],
        ['DequantizeLinear', ['second', 'scale', 'zero'], ['b']],
        ['DequantizeLinear', ['third', 'scale', 'zero'], ['c']],
        ['MatMul', ['x', 'a'], ['d']],
        ['MatMul', ['d', 'b'], ['e']],
        ['MatMul', ['e', 'c'], ['y']],
      ],
      initializers: [
        rawTensor(
          'columns',
          [size],
          Array.from({ length: size }, (_, i) => 0.01 + i / 1000),
        ),
        rawTensor('scale', [], [0.01]),
      ],
    }),
  );
  model.graph?.node.unshift(
    ...['first', 'second', 'third'].map((name) => constant(name, [size, size])),
    constant('zero', []),
  );
  await expectWhole({ externalData: [], toBytes: () => toBinary(ModelProtoSchema, model) });
});
