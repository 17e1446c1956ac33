import { create } from '@bufbuild/protobuf';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import { TensorProtoSchema } from '../onnx/proto/onnx_pb';
import { floatsIn } from '../runtime/tensors';
import type { Tensors } from '../runtime/tensors';
import type { BuiltModel } from './built-model';

/** Output name of an exported model. */
export const exportedOutput = 'output';

/**
 * Exports a trained model as an ONNX file in evaluation mode; parameters become initializers.
 * @param weights parameters and buffers by name
 */
export function exportModel(
  model: BuiltModel,
  weights: Tensors,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const { graph, output } = model.forward('evaluate');
  graph.output(exportedOutput, output.value, DataType.FLOAT, output.shape);
  const { node, input, output: outputs, initializer } = graph.graph;
  const own = new Set(model.inputs);
  const constants = [...model.parameters, ...model.buffers].map(({ name, shape }) => {
    const tensor = weights[name];
    if (tensor === undefined) {
      throw new Error(`the weights have no tensor named ${name}`);
    }
    const { buffer, byteOffset, byteLength } = floatsIn(tensor);
    const rawData = new Uint8Array(buffer, byteOffset, byteLength);
    const dims = shape.map(BigInt);
    return create(TensorProtoSchema, { name, dataType: DataType.FLOAT, dims, rawData });
  });
  const exported = GraphBuilder.over('model', {
    nodes: node,
    inputs: input.filter(({ name }) => own.has(name)),
    outputs,
    constants: [...initializer, ...constants],
    weights: [],
    opsets: graph.opsetImports,
  });
  return exported.toBytes(() => {
    throw new Error('all weights are in the file');
  }, metadata);
}
