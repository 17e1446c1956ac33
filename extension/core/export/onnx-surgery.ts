import { open } from 'node:fs/promises';
import { clone, create, toBinary } from '@bufbuild/protobuf';
import type { OnnxFile, OnnxInitializer } from '../checkpoints/onnx-file';
import type { GraphNode } from '../models/onnx/graph-index';
import type { OnnxModel } from '../models/onnx/onnx-model';
import { removeBranches } from '../models/onnx/removal-nodes';
import type { RemainingGraph } from '../models/onnx/removal-nodes';
import type { ExternalLocation } from '../onnx/graph-builder';
import { normalizationNodes } from '../onnx/normalization-nodes';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from '../onnx/proto/onnx_pb';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '../onnx/proto/onnx_pb';
import { UserError } from '../user-error';
import type { OnnxData, OnnxSource } from './onnx-writer';

/** Weights inside of nodes are read into memory, up to this many bytes in all. */
const maxNestedBytes = 256 << 20;

/**
 * The graph of a model without some of its branches: nodes, weights, inputs and outputs that only
 * they needed are gone, everything else is as it was.
 */
export async function removeFromGraph(
  model: OnnxModel,
  removed: ReadonlySet<number>,
): Promise<OnnxSource> {
  const { file, index } = model;
  const branches = model.branches.filter((_, i) => removed.has(i));
  const remaining = removeBranches(index, branches);
  const wanted = (node: GraphNode): boolean => remaining.live.has(node);
  const halves = new Map<NodeProto, GraphNode[]>();
  for (const node of index.nodes) {
    halves.set(node.proto, [...(halves.get(node.proto) ?? []), node]);
  }
  const opset = model.summary.opset;
  const nodes = [...new Set(index.nodes.map(({ proto }) => proto))].flatMap((proto) => {
    const parts = halves.get(proto) ?? [];
    const [add, norm] = parts;
    if (!parts.some(wanted)) {
      return [];
    }
    const copy = renameInputs(proto, remaining.resolve);
    const sumIsGone = norm !== undefined && add !== undefined && removedSum(add, remaining);
    const gamma = file.initializers.get(proto.input[2] ?? '')?.dataType ?? DataType.FLOAT;
    return sumIsGone
      ? normalizationNodes(copy, remaining.resolve(add.outputs[0] ?? ''), opset, gamma)
      : [copy];
  });
  await restoreNestedTensors(nodes, file);
  const graph = keepPorts(file.graph, nodes, remaining);
  const used = valuesRead(graph);
  const initializers = [...file.initializers.values()].filter(({ name }) => used.has(name));
  return new PrunedGraph(file.model, graph, initializers, file.path);
}

/** Whether the sum of a fused add and norm is the end of a branch that was removed. */
function removedSum({ outputs: [sum = ''] }: GraphNode, { resolve }: RemainingGraph): boolean {
  return resolve(sum) !== sum;
}

class PrunedGraph implements OnnxSource {
  public readonly externalData: readonly OnnxData[];

  public constructor(
    private readonly model: ModelProto,
    private readonly graph: GraphProto,
    private readonly initializers: readonly OnnxInitializer[],
    path: string,
  ) {
    const lost = initializers.find(({ inline, mappable }) => inline === undefined && !mappable);
    if (lost !== undefined) {
      throw new UserError('Its numbers are stored in a form that cannot be copied.', {
        file: path,
        field: lost.name,
        remedy: 'Export the model with raw_data, as all present exporters do.',
      });
    }
    this.externalData = initializers.filter(({ inline }) => inline === undefined);
  }

  public toBytes(
    locate: (data: OnnxData) => ExternalLocation,
    metadata: Readonly<Record<string, string>> = {},
  ): Uint8Array {
    const entry = (key: string, value: string) =>
      create(StringStringEntryProtoSchema, { key, value });
    const initializer = this.initializers.map((data): TensorProto => {
      if (data.inline !== undefined) {
        return data.inline;
      }
      const { location, offset } = locate(data);
      return create(TensorProtoSchema, {
        name: data.name,
        dataType: data.dataType,
        dims: data.dims.map(BigInt),
        dataLocation: DataLocation.EXTERNAL,
        externalData: [
          entry('location', location),
          entry('offset', String(offset)),
          entry('length', String(data.length)),
        ],
      });
    });
    const known = this.model.metadataProps.filter(({ key }) => !(key in metadata));
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        ...this.model,
        metadataProps: [
          ...known,
          ...Object.entries(metadata).map(([key, value]) => entry(key, value)),
        ],
        graph: create(GraphProtoSchema, { ...this.graph, initializer }),
      }),
    );
  }
}

/** The graph of `nodes`, with those inputs, outputs and notes of values that still mean something. */
function keepPorts(
  original: GraphProto,
  nodes: readonly NodeProto[],
  { droppedOutputs, resolve }: RemainingGraph,
): GraphProto {
  const output = original.output.filter(({ name }) => !droppedOutputs.has(name));
  const bridges = output.flatMap(({ name }) => {
    const source = resolve(name);
    return source === name
      ? []
      : [
          create(NodeProtoSchema, {
            name: `${name}/pruned`,
            opType: 'Identity',
            input: [source],
            output: [name],
          }),
        ];
  });
  const all = [...nodes, ...bridges];
  const before = valuesRead(original);
  const after = new Set([...all.flatMap(readBy), ...output.map(({ name }) => name)]);
  const made = new Set(all.flatMap((node) => node.output));
  return create(GraphProtoSchema, {
    ...original,
    node: all,
    input: original.input.filter(({ name }) => after.has(name) || !before.has(name)),
    output,
    valueInfo: original.valueInfo.filter(({ name }) => made.has(name)),
    quantizationAnnotation: original.quantizationAnnotation.filter(
      ({ tensorName }) => after.has(tensorName) || made.has(tensorName),
    ),
    sparseInitializer: original.sparseInitializer.filter(({ values }) =>
      after.has(values?.name ?? ''),
    ),
  });
}

function valuesRead(graph: GraphProto): Set<string> {
  return new Set([...graph.node.flatMap(readBy), ...graph.output.map(({ name }) => name)]);
}

function nestedGraphs({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

/** Inputs of a node and of all nodes nested in it. */
function readBy(node: NodeProto): string[] {
  const nested = nestedGraphs(node).flatMap((graph) => [...valuesRead(graph)]);
  return [...node.input, ...nested];
}

/** A copy that reads the values that now stand for its inputs, also inside of nested graphs. */
function renameInputs(node: NodeProto, resolve: (name: string) => string): NodeProto {
  const copy = clone(NodeProtoSchema, node);
  const rename = (inner: NodeProto): void => {
    inner.input = inner.input.map(resolve);
    for (const graph of nestedGraphs(inner)) {
      graph.node.forEach(rename);
    }
  };
  rename(copy);
  // Tensors are known by identity: those of the copy are the original's.
  copy.attribute.forEach((attribute, i) => {
    const original = node.attribute[i];
    if (original?.t !== undefined) {
      attribute.t = original.t;
    }
  });
  return copy;
}

/** Puts the data of large tensors that nodes hold back in their place. */
async function restoreNestedTensors(nodes: readonly NodeProto[], file: OnnxFile): Promise<void> {
  const fault = (name: string): UserError =>
    new UserError(
      'The graph holds large weights inside of its nodes, which cannot be copied yet.',
      {
        file: file.path,
        field: name,
        remedy: 'Export the model with its weights as initializers.',
      },
    );
  let bytes = 0;
  const tops = new Set(nodes.flatMap((node) => node.attribute.flatMap(({ t }) => t ?? [])));
  const initializers = new Set(file.graph.initializer);
  const handle = await open(file.path, 'r');
  try {
    for (const [tensor, payload] of file.payloads) {
      if (!payload.stripped || initializers.has(tensor)) {
        continue;
      }
      bytes += payload.length;
      if (!tops.has(tensor) && !isOfRemovedNode(tensor, file)) {
        throw fault(tensor.name);
      }
      if (tops.has(tensor)) {
        if (payload.encoding !== 'fixed' || bytes > maxNestedBytes) {
          throw fault(tensor.name);
        }
        const data = Buffer.alloc(payload.length);
        await handle.read(data, 0, payload.length, payload.offset);
        tensor.rawData = data;
      }
    }
  } finally {
    await handle.close();
  }
}

function isOfRemovedNode(tensor: TensorProto, { graph }: OnnxFile): boolean {
  return graph.node.some(({ attribute }) => attribute.some(({ t }) => t === tensor));
}
