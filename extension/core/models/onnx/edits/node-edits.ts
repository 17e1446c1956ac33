import { open } from 'node:fs/promises';
import { nestedGraphs } from '../../../checkpoints/nested-weights';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { copyWith } from '../../../onnx/messages';
import type {
  GraphProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../../../onnx/proto/onnx_pb';
import { UserError } from '../../../user-error';
import { say } from '../../../message';

/** Weights inside of nodes are read into memory, up to this many bytes in all. */
const maxNestedBytes = 256 << 20;

/**
 * A copy that reads the replaced inputs, also in nested graphs. Tensors are
 * known by identity: those of the copy are the original's.
 */
export function renameInputs(node: NodeProto, resolve: (name: string) => string): NodeProto {
  const inner = (graph: GraphProto): GraphProto =>
    copyWith(graph, { node: graph.node.map((one) => renameInputs(one, resolve)) });
  const attribute = node.attribute.map((one) =>
    one.g === undefined && one.graphs.length === 0
      ? one
      : copyWith(one, {
          ...(one.g === undefined ? {} : { g: inner(one.g) }),
          graphs: one.graphs.map(inner),
        }),
  );
  return copyWith(node, { input: node.input.map(resolve), attribute });
}

/** Renames the outputs `result` of nodes to `given`. */
export function renameOutputs(
  nodes: readonly NodeProto[],
  result: readonly string[],
  given: readonly string[],
): NodeProto[] {
  const names = new Map(result.map((name, place) => [name, given[place] ?? name]));
  return nodes.map((one) =>
    copyWith(one, { output: one.output.map((name) => names.get(name) ?? name) }),
  );
}

/** Copy of a graph with renamed values, including inputs and outputs. */
export function renameValues(graph: GraphProto, names: ReadonlyMap<string, string>): GraphProto {
  const of = (name: string): string => names.get(name) ?? name;
  const ports = (infos: readonly ValueInfoProto[]): ValueInfoProto[] =>
    infos.map((info) => copyWith(info, { name: of(info.name) }));
  return copyWith(graph, {
    node: graph.node.map((node) =>
      copyWith(renameInputs(node, of), { output: node.output.map(of) }),
    ),
    input: ports(graph.input),
    output: ports(graph.output),
    valueInfo: ports(graph.valueInfo),
  });
}

/** Restores the data of large tensors in nodes, their nested graphs, and functions. */
export async function restoreNestedTensors(
  nodes: readonly NodeProto[],
  file: OnnxFile,
): Promise<void> {
  const fault = (name: string): UserError =>
    new UserError(
      'weights-inside-nodes',
      say`The graph contains large weights inside its nodes, which can't be copied yet.`,
      {
        file: file.path,
        field: name,
        remedy: say`Export the model with its weights as initializers.`,
      },
    );
  let bytes = 0;
  const handle = await open(file.path, 'r');
  try {
    const called = file.model.functions.flatMap(({ node }) => node);
    for (const tensor of new Set([...nodes, ...called].flatMap(tensorsIn))) {
      const payload = file.payloads.get(tensor);
      if (payload?.stripped !== true) {
        continue;
      }
      bytes += payload.length;
      if (payload.encoding !== 'fixed' || bytes > maxNestedBytes) {
        throw fault(tensor.name);
      }
      const data = Buffer.alloc(payload.length);
      await handle.read(data, 0, payload.length, payload.offset);
      tensor.rawData = data;
    }
  } finally {
    await handle.close();
  }
}

/** Tensors of a node's attributes, of initializers and nodes of the graphs in it. */
function tensorsIn(node: NodeProto): TensorProto[] {
  const { attribute } = node;
  return [
    ...attribute.flatMap(({ t, tensors, sparseTensor }) => [
      ...(t === undefined ? [] : [t]),
      ...tensors,
      ...(sparseTensor?.values === undefined ? [] : [sparseTensor.values]),
      ...(sparseTensor?.indices === undefined ? [] : [sparseTensor.indices]),
    ]),
    ...nestedGraphs(node).flatMap((graph) => [
      ...graph.initializer,
      ...graph.node.flatMap(tensorsIn),
    ]),
  ];
}
