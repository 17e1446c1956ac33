import { DataType } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { outputTensor } from '../../../extension/core/runtime/tensors';
import type { Tensors } from '../../../extension/core/runtime/tensors';
import { backward } from '../../../extension/core/training/backward';
import { crossEntropy } from '../../../extension/core/training/losses';
import type { TrainableModel } from '../../../extension/core/training/trainable-model';

/** Loss and gradients of all parameters, trained as the model stands. */
export async function computeGradients(model: TrainableModel, inputs: Tensors): Promise<Tensors> {
  const { graph, output } = model.forward('train');
  const loss = crossEntropy()(graph, output);
  const parameters = model.parameters.map(({ name }) => name);
  const gradients = backward(graph, loss, parameters);
  graph.output('loss', loss, DataType.FLOAT, []);
  graph.output('output', output.value, DataType.FLOAT, output.shape);
  for (const { name, shape } of model.parameters) {
    graph.output(`gradient/${name}`, gradients.get(name) ?? '', DataType.FLOAT, shape);
  }
  const session = await createSession(graph, { device: 'cpu', prepack: true });
  try {
    const values: Tensors = { ...(await model.initial()), ...inputs };
    const feeds = session.inputNames.flatMap((name) => {
      const value = values[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const outputs = await session.run(Object.fromEntries(feeds));
    return Object.fromEntries(
      session.outputNames.map((name) => [name, outputTensor(outputs, name)]),
    );
  } finally {
    await session.release();
  }
}
