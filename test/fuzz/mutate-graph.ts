import { clone, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
} from '../../extension/core/onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../extension/core/onnx/proto/onnx_pb';
import { pick } from './mutate';
import type { Random } from './mutate';

type GraphMutation = (graph: GraphProto, random: Random) => void;

const pickValue = ({ node, initializer, input }: GraphProto, random: Random): string =>
  pick(
    [
      ...node.flatMap(({ output }) => output),
      ...[...initializer, ...input].map(({ name }) => name),
      '',
    ],
    random,
  );
const pickNode = ({ node }: GraphProto, random: Random): NodeProto | undefined =>
  node[random(node.length)];

const mutations: readonly GraphMutation[] = [
  // Another value is read: circles, streams that branch and end.
  (graph, random) => {
    const node = pickNode(graph, random);
    if (node !== undefined && node.input.length > 0) {
      node.input[random(node.input.length)] = pickValue(graph, random);
    }
  },
  // Another value is made: names that stand twice, values that nobody makes.
  (graph, random) => {
    const node = pickNode(graph, random);
    if (node !== undefined && node.output.length > 0) {
      node.output[random(node.output.length)] = pickValue(graph, random);
    }
  },
  (graph, random) => {
    const node = pickNode(graph, random);
    if (node !== undefined) {
      node.opType = pick(
        ['Add', 'Sum', 'MatMul', 'Softmax', 'If', 'Loop', 'Shape', 'Constant', 'TopK', ''],
        random,
      );
    }
  },
  (graph, random) => {
    const node = pickNode(graph, random);
    if (node !== undefined) {
      node.domain = 'com.microsoft';
      node.opType = pick(
        [
          'SkipLayerNormalization',
          'SkipSimplifiedLayerNormalization',
          'GroupQueryAttention',
          'MultiHeadAttention',
          'MatMulNBits',
        ],
        random,
      );
    }
  },
  (graph, random) => {
    graph.node.splice(random(graph.node.length), 1 + random(3));
  },
  (graph, random) => {
    const node = pickNode(graph, random);
    if (node !== undefined) {
      const copy = clone(NodeProtoSchema, node);
      copy.output = copy.output.map((name) => (random(4) === 0 ? name : `${name}'`));
      graph.node.push(copy);
    }
  },
  (graph) => {
    graph.node.reverse();
  },
  // A part of the graph moves into a branch of If.
  (graph, random) => {
    const from = random(graph.node.length);
    const node = graph.node.splice(from, 1 + random(30));
    const outputs = node.at(-1)?.output ?? [];
    const output = graph.output.filter(({ name }) => outputs.includes(name));
    const g = create(GraphProtoSchema, { node, output });
    const attribute = [
      create(AttributeProtoSchema, { name: 'then_branch', type: AttributeType.GRAPH, g }),
    ];
    graph.node.push(
      create(NodeProtoSchema, { opType: 'If', input: ['x'], output: outputs, attribute }),
    );
  },
  (graph, random) => {
    const tensor = graph.initializer[random(graph.initializer.length)];
    if (tensor !== undefined) {
      tensor.dims = pick([[], [0n], [-1n], [2n ** 62n, 2n ** 62n], [1n, 1n, 1n]], random);
    }
  },
  (graph, random) => {
    const tensor = graph.initializer[random(graph.initializer.length)];
    if (tensor !== undefined) {
      tensor.name = pickValue(graph, random);
    }
  },
  (graph, random) => {
    const tensor = graph.initializer[random(graph.initializer.length)];
    if (tensor !== undefined) {
      tensor.dataType = random(30);
    }
  },
  (graph, random) => {
    const attribute = pickNode(graph, random)?.attribute[0];
    if (attribute !== undefined) {
      attribute.i = pick([0n, -1n, 2n ** 62n, 4n], random);
      attribute.ints = [attribute.i];
    }
  },
  (graph, random) => {
    graph.output.splice(random(graph.output.length), 1);
  },
  (graph, random) => {
    const port = graph.input[random(graph.input.length)];
    if (port !== undefined) {
      port.name = pickValue(graph, random);
    }
  },
];

/** An ONNX model whose graph is another, but still a message of its kind. */
export function mutateGraph(bytes: Buffer, random: Random): Buffer {
  const model = fromBinary(ModelProtoSchema, bytes);
  const { graph } = model;
  for (let i = 1 + random(6); i > 0 && graph !== undefined; i--) {
    pick(mutations, random)(graph, random);
  }
  return Buffer.from(toBinary(ModelProtoSchema, model));
}
