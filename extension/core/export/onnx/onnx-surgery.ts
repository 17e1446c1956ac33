import { restoreNestedTensors } from '../../models/onnx/edits/node-edits';
import type { OnnxModel } from '../../models/onnx/stream/graph-stream';
import { removeBranches } from '../../models/onnx/edits/removal-nodes';
import { StoredGraph } from '../../models/onnx/edits/stored-graph';
import { copyWith } from '../../onnx/messages';
import type { GraphProto } from '../../onnx/proto/onnx_pb';
import {
  keepPorts,
  neededNodes,
  remainingNodes,
  valuesRead,
} from '../../models/onnx/edits/graph-remains';
import { ExpertRemoval } from './less-experts';
import { removeFromWrapped } from './wrapped-surgery';

/**
 * The graph of a model without some of its branches and experts: nodes, weights, inputs and outputs
 * used only by these are removed, the rest is unchanged. `remainingExperts` lists the remaining
 * experts in ascending order, by branch of each MoE layer from which some are removed.
 * @throws UserError when a part of the graph cannot be copied.
 */
export async function removeFromGraph(
  model: OnnxModel,
  removed: ReadonlySet<number>,
  remainingExperts: ReadonlyMap<number, readonly number[]> = new Map(),
): Promise<StoredGraph> {
  const { file } = model;
  const experts = new ExpertRemoval(model, remainingExperts);
  const graph =
    model.place === undefined
      ? removeFromMain(model, removed, experts)
      : removeFromWrapped({ ...model, place: model.place }, model.other, removed);
  await restoreNestedTensors(graph.node, file);
  const used = valuesRead(graph);
  const initializers = [...file.initializers.values()].map(
    (weight) => experts.weights.get(weight.name) ?? weight,
  );
  const added = [...experts.weights.values()].filter(({ name }) => !file.initializers.has(name));
  const left = [...initializers, ...added].filter(({ name }) => used.has(name));
  return new StoredGraph(file.model, graph, left, file.path);
}

function removeFromMain(
  model: OnnxModel,
  removed: ReadonlySet<number>,
  experts: ExpertRemoval,
): GraphProto {
  const { file, index, branches } = model;
  const removedParts = [...branches.filter((_, i) => removed.has(i)), ...experts.branches];
  const remaining = removeBranches(index, removedParts);
  const nodes = [...remainingNodes(model, remaining)].flatMap(([original, copies]) =>
    copies.flatMap((copy) => experts.rewrite(original, copy)),
  );
  const outputs = file.graph.output.map(({ name }) => remaining.resolve(name));
  const left = experts.weights.size > 0 ? neededNodes(nodes, outputs) : nodes;
  const graph = keepPorts(file.graph, left, remaining);
  const valueInfo = graph.valueInfo.filter(({ name }) => !experts.resized.has(name));
  return copyWith(graph, { valueInfo });
}
