import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import type { RunnableGraph } from '../../../extension/core/models/layered-model';
import { emitWeight } from '../../../extension/core/models/parts/weight';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput, floatTensor } from '../../../extension/core/runtime/tensors';

/** A weight as float32, as sessions get it. */
export async function weightFloats(tensor: LazyTensor): Promise<Float32Array> {
  return run(weightGraph(tensor));
}

/** A weight as float32, computed by the nodes of a graph that is written. */
export async function floatsFromNodes(tensor: LazyTensor): Promise<Float32Array> {
  const graph = weightGraph(tensor);
  return run({
    externalData: graph.externalData,
    toBytes: (locate) => graph.toBytes(locate),
  });
}

function weightGraph(tensor: LazyTensor): GraphBuilder {
  const graph = new GraphBuilder('weight');
  const one = graph.input('one', DataType.FLOAT, [1]);
  const product = graph.op('Mul', [emitWeight(graph, tensor), one]);
  graph.output('weight', product, DataType.FLOAT, tensor.shape);
  return graph;
}

async function run(graph: RunnableGraph): Promise<Float32Array> {
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const outputs = await session.run({ one: floatTensor(Float32Array.of(1), [1]) });
  const floats = Float32Array.from(floatOutput(outputs, 'weight'));
  await session.release();
  return floats;
}
