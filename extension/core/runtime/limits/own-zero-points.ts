import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { nestedGraphs } from '../../checkpoints/nested-weights';
import { copyWith } from '../../onnx/messages';
import {
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as DataType,
} from '../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto, TensorProto } from '../../onnx/proto/onnx_pb';

const int8: number = DataType.INT8;
/** Inputs of operators that hold int8 weights and their zero points. */
const places: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  DequantizeLinear: [[0, 2]],
  MatMulInteger: [[1, 3]],
  QLinearMatMul: [[3, 5]],
  QLinearConv: [[3, 5]],
  MatMulIntegerToFloat: [[1, 5]],
  DynamicQuantizeMatMul: [[1, 3]],
  QGemm: [[3, 5]],
  QAttention: [[1, 7]],
  DynamicQuantizeLSTM: [
    [1, 9],
    [2, 11],
  ],
};

/**
 * Gives each DequantizeLinear node its own zero point, as bytes of a model. With integer accumulation, ONNX Runtime
 * rewrites int8 weights as uint8 under the same name, and adds a single zero point to those without one. Nodes that
 * share a weight or zero point then fail to load, and per-column scales fail to run.
 */
export function withOwnZeroPoints(model: Uint8Array): Uint8Array {
  const proto = fromBinary(ModelProtoSchema, model);
  const { graph } = proto;
  if (graph === undefined) {
    return model;
  }
  const changed = giveOwn(graph, { used: new Set(), count: 0 });
  return changed ? toBinary(ModelProtoSchema, proto) : model;
}

interface Copies {
  /** Weights and zero points that a node has already. */
  readonly used: Set<string>;
  /** Values that were made. */
  count: number;
}

/** True if anything in a graph or its subgraphs was changed. */
function giveOwn(graph: GraphProto, copies: Copies): boolean {
  const before = copies.count;
  takeConstants(graph);
  const initializers = new Map(
    graph.initializer
      .filter(({ dataType }) => dataType === int8)
      .map((tensor) => [tensor.name, tensor] as const),
  );
  graph.node = graph.node.flatMap((node) => {
    const zeros = (places[node.opType] ?? []).flatMap(([weight, zero]) => {
      if (!initializers.has(node.input[weight] ?? '')) {
        return [];
      }
      for (const place of [weight, zero]) {
        makeOwn(node, place, initializers, graph, copies);
      }
      return node.opType === 'DequantizeLinear' ? zeroPoint(node, graph, copies) : [];
    });
    return [...zeros, node];
  });
  const nested = graph.node.flatMap(nestedGraphs).filter((inner) => giveOwn(inner, copies));
  return copies.count > before || nested.length > 0;
}

/** Makes initializers of int8 constants, as ONNX Runtime does before it rewrites weights. */
function takeConstants(graph: GraphProto): void {
  const results = new Set(graph.output.map(({ name }) => name));
  graph.node = graph.node.filter(({ opType, attribute, output: [name = ''] }) => {
    const tensor = attribute.find((one) => one.name === 'value')?.t;
    if (opType !== 'Constant' || tensor?.dataType !== int8 || results.has(name)) {
      return true;
    }
    graph.initializer.push(copyWith(tensor, { name }));
    return false;
  });
}

/** A copy of an initializer that another node has already; its bytes may stay in their file. */
function makeOwn(
  { input }: NodeProto,
  place: number,
  initializers: ReadonlyMap<string, TensorProto>,
  graph: GraphProto,
  copies: Copies,
): void {
  const tensor = initializers.get(input[place] ?? '');
  if (tensor === undefined) {
    return;
  }
  if (!copies.used.has(tensor.name)) {
    copies.used.add(tensor.name);
    return;
  }
  const name = newName(copies);
  graph.initializer.push(copyWith(tensor, { name }));
  input[place] = name;
}

/**
 * Nodes that compute a zero point in the shape of the scales for a DequantizeLinear without one. Each node gets its
 * own, because ONNX Runtime merges nodes that compute the same.
 */
function zeroPoint({ input }: NodeProto, graph: GraphProto, copies: Copies): NodeProto[] {
  const [numbers = '', scale = '', given = ''] = input;
  if (given !== '') {
    return [];
  }
  const name = newName(copies);
  const [zero, shape] = [`${name}/zero`, `${name}/shape`];
  const rawData = new Uint8Array(1);
  graph.initializer.push(
    create(TensorProtoSchema, { name: zero, dataType: int8, dims: [1n], rawData }),
  );
  input.splice(0, input.length, numbers, scale, name);
  return [
    create(NodeProtoSchema, { opType: 'Shape', input: [scale], output: [shape] }),
    create(NodeProtoSchema, { opType: 'Expand', input: [zero, shape], output: [name] }),
  ];
}

const newName = (copies: Copies): string => `espalier/own_${copies.count++}`;
