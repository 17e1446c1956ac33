import { open } from 'node:fs/promises';
import { clone } from '@bufbuild/protobuf';
import type { OnnxFile } from '../../checkpoints/onnx-file';
import { NodeProtoSchema } from '../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto, TensorProto } from '../../onnx/proto/onnx_pb';
import { UserError } from '../../user-error';

/** Weights inside of nodes are read into memory, up to this many bytes in all. */
const maxNestedBytes = 256 << 20;

export function nestedGraphs({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

/** A copy that reads the values that now stand for its inputs, also inside of nested graphs. */
export function renameInputs(node: NodeProto, resolve: (name: string) => string): NodeProto {
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
export async function restoreNestedTensors(
  nodes: readonly NodeProto[],
  file: OnnxFile,
): Promise<void> {
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
