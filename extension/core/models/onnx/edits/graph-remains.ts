import { create } from '@bufbuild/protobuf';
import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { isEmbeddingWithNorm, isQuantizedSum, requantized } from '../graph-index';
import type { GraphNode } from '../graph-index';
import { renameInputs } from './node-edits';
import type { OnnxModel } from '../stream/graph-stream';
import { portName, requantizationNodes } from '../onnx-parts';
import type { RemainingGraph } from './removal-nodes';
import { copyWith } from '../../../onnx/messages';
import { normalizationNodes, sumNodes } from '../../../onnx/normalization-nodes';
import { NodeProtoSchema, TensorProto_DataType as DataType } from '../../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';

/** Returns the nodes that replace each live node, in topological order. */
export function remainingNodes(
  { file, index }: Pick<OnnxModel, 'file' | 'index'>,
  remaining: RemainingGraph,
): ReadonlyMap<NodeProto, readonly NodeProto[]> {
  const wanted = (node: GraphNode): boolean => remaining.live.has(node);
  const resolvedPort = (value: string): string => portName(remaining.resolve(value));
  const halves = new Map<NodeProto, GraphNode[]>();
  // The replacement of a quantized sum precedes the sum.
  for (const node of index.nodes.filter((one) => one.op !== requantized || wanted(one))) {
    halves.set(node.proto, [...(halves.get(node.proto) ?? []), node]);
  }
  const opset = Number(file.model.opsetImport.find(({ domain }) => isOnnx(domain))?.version ?? 0n);
  const replace = (proto: NodeProto, parts: readonly GraphNode[]): NodeProto[] => {
    if (isQuantizedSum(proto)) {
      return parts
        .filter(wanted)
        .flatMap(({ op, inputs: [term = ''], outputs: [output = ''] }) =>
          op === requantized
            ? requantizationNodes(
                proto,
                proto.input.indexOf(term),
                resolvedPort,
                resolvedPort(output),
              )
            : [renameInputs(proto, resolvedPort)],
        );
    }
    if (isEmbeddingWithNorm(proto)) {
      return [renameInputs(proto, resolvedPort)];
    }
    const [add, norm] = parts;
    if (norm !== undefined && add !== undefined && !wanted(norm)) {
      return sumNodes(add.inputs.map(resolvedPort), add.outputs[0] ?? '');
    }
    const copy = renameInputs(proto, resolvedPort);
    const sumIsGone = norm !== undefined && add !== undefined && removedSum(add, remaining);
    const gamma = file.initializers.get(proto.input[2] ?? '')?.dataType ?? DataType.FLOAT;
    return sumIsGone
      ? normalizationNodes(copy, resolvedPort(add.outputs[0] ?? ''), opset, gamma)
      : [copy];
  };
  return new Map(
    [...halves]
      .filter(([, parts]) => parts.some(wanted))
      .map(([proto, parts]) => [proto, replace(proto, parts)]),
  );
}

function isOnnx(domain: string): boolean {
  return domain === '' || domain === 'ai.onnx';
}

/** True if the sum of a fused add and norm belongs to a removed branch. */
function removedSum({ outputs: [sum = ''] }: GraphNode, { resolve }: RemainingGraph): boolean {
  return resolve(sum) !== sum;
}

/** A node that gives an output, whose sublayer was removed, the value of the stream. */
export const bridge = (input: string, output: string): NodeProto =>
  create(NodeProtoSchema, {
    name: `${output}/pruned`,
    opType: 'Identity',
    input: [input],
    output: [output],
  });

/** The graph of `nodes`, with those inputs, outputs and notes of values that still mean something. */
export function keepPorts(
  original: GraphProto,
  nodes: readonly NodeProto[],
  { droppedOutputs, resolve }: Pick<RemainingGraph, 'droppedOutputs' | 'resolve'>,
): GraphProto {
  const output = original.output.filter(({ name }) => !droppedOutputs.has(name));
  const bridges = output.flatMap(({ name }) => {
    const source = portName(resolve(name));
    return source === name ? [] : [bridge(source, name)];
  });
  const all = [...nodes, ...bridges];
  const before = valuesRead(original);
  const after = new Set([...all.flatMap(readBy), ...output.map(({ name }) => name)]);
  const made = new Set(all.flatMap((node) => node.output));
  return copyWith(original, {
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

export function valuesRead(graph: GraphProto): Set<string> {
  return new Set([...graph.node.flatMap(readBy), ...graph.output.map(({ name }) => name)]);
}

/** Inputs of a node and of all nodes nested in it. */
export function readBy(node: NodeProto): string[] {
  const nested = nestedGraphs(node).flatMap((graph) => [...valuesRead(graph)]);
  return [...node.input, ...nested];
}

/** Drops nodes without readers, such as a constant that was replaced. */
export function neededNodes(nodes: readonly NodeProto[], outputs: readonly string[]): NodeProto[] {
  const makers = new Map(nodes.flatMap((one) => one.output.map((name) => [name, one] as const)));
  const needed = new Set<NodeProto>();
  const wanted = [...outputs];
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    const maker = name === '' ? undefined : makers.get(name);
    if (maker !== undefined && !needed.has(maker)) {
      needed.add(maker);
      wanted.push(...readBy(maker));
    }
  }
  return nodes.filter((one) => needed.has(one));
}
