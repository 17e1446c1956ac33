import { restoreNestedTensors } from '../models/onnx/node-edits';
import type { OnnxModel } from '../models/onnx/onnx-model';
import { removeBranches } from '../models/onnx/removal-nodes';
import { StoredGraph } from '../models/onnx/stored-graph';
import type { GraphProto } from '../onnx/proto/onnx_pb';
import { keepPorts, remainingNodes, valuesRead } from './graph-remains';
import { removeFromWrapped } from './wrapped-surgery';

/**
 * The graph of a model without some of its branches: nodes, weights, inputs and outputs that only
 * they needed are gone, everything else is as it was.
 * @throws UserError when a part of the graph cannot be copied.
 */
export async function removeFromGraph(
  model: OnnxModel,
  removed: ReadonlySet<number>,
): Promise<StoredGraph> {
  const { file } = model;
  const graph =
    model.place === undefined
      ? removeFromMain(model, removed)
      : removeFromWrapped({ ...model, place: model.place }, model.other, removed);
  await restoreNestedTensors(graph.node, file);
  const used = valuesRead(graph);
  const initializers = [...file.initializers.values()].filter(({ name }) => used.has(name));
  return new StoredGraph(file.model, graph, initializers, file.path);
}

function removeFromMain(model: OnnxModel, removed: ReadonlySet<number>): GraphProto {
  const { file, index, branches } = model;
  const remaining = removeBranches(
    index,
    branches.filter((_, i) => removed.has(i)),
  );
  const nodes = [...remainingNodes(model, remaining).values()].flat();
  return keepPorts(file.graph, nodes, remaining);
}
