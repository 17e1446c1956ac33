import { restoreNestedTensors } from '../../models/onnx/edits/node-edits';
import type { OnnxModel, OnnxMode } from '../../models/onnx/stream/graph-stream';
import { removeBranches, ignoredOutputs } from '../../models/onnx/edits/removal-nodes';
import { StoredGraph } from '../../models/onnx/edits/stored-graph';
import { copyWith } from '../../onnx/messages';
import type { GraphProto, NodeProto } from '../../onnx/proto/onnx_pb';
import {
  bridge,
  keepPorts,
  neededNodes,
  remainingNodes,
  valuesRead,
} from '../../models/onnx/edits/graph-remains';
import { ExpertRemoval } from './less-experts';
import { presentName } from '../../models/onnx/stream/cache-ports';
import type { RemainingGraph } from '../../models/onnx/edits/removal-nodes';
import type { Scope } from '../../models/onnx/edits/wrapped-graph';
import { UserError } from '../../user-error';
import { say } from '../../message';

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

type Rewritten = OnnxMode & {
  readonly remaining: RemainingGraph;
  /** Remaining nodes, by the graph that contains them. */
  readonly left: ReadonlyMap<Scope, readonly NodeProto[]>;
};

/**
 * The graph of a file whose layers are in both branches of an If, with some of them removed from
 * both. Outputs that no branch produces any more are removed, and so are present states whose past
 * isn't read.
 * @throws UserError if a layer uses values outside of the If.
 */
function removeFromWrapped(
  first: OnnxMode,
  other: OnnxMode | undefined,
  removed: ReadonlySet<number>,
): GraphProto {
  const { modes, droppedOutputs } = rewrite(
    other === undefined ? [first] : [first, other],
    removed,
  );
  const { parentGraph, node } = first.place.wrapping;
  const decides = findProducers(node.input, parentGraph);
  const around = parentGraph.node.map((one, place) => {
    const left = modes.map((mode) => mode.left.get(place)).find((nodes) => nodes !== undefined);
    return one === node ? [] : (left ?? (decides.has(one) ? [one] : []));
  });
  requireApart(first, around.flat());
  const wanted = new Set([
    ...parentGraph.output.map(({ name }) => name).filter((name) => !droppedOutputs.has(name)),
    ...around.flat().flatMap(({ input }) => input),
  ]);
  const isWanted = node.output.map((name) => wanted.has(name));
  const choice = copyWith(node, {
    output: node.output.filter((_, place) => isWanted[place]),
    attribute: node.attribute.map((attribute) => {
      const mode = modes.find(({ place }) => attribute.g === place.wrapping.branch);
      return mode === undefined
        ? attribute
        : copyWith(attribute, { g: findBranch(mode, isWanted) });
    }),
  });
  const nodes = parentGraph.node.flatMap((one, place) =>
    one === node ? [choice] : (around[place] ?? []),
  );
  const made = new Set(node.output);
  const [mode] = modes;
  const resolve = (name: string): string =>
    made.has(name) ? name : (mode?.remaining.resolve(name) ?? name);
  return keepPorts(parentGraph, nodes, { droppedOutputs, resolve });
}

/** Nodes that compute some values, such as the condition of the If, and that no branch reads. */
function findProducers(values: readonly string[], { node }: GraphProto): ReadonlySet<NodeProto> {
  const makers = new Map(node.flatMap((one) => one.output.map((name) => [name, one] as const)));
  const found = new Set<NodeProto>();
  const open = [...values];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const maker = makers.get(name);
    if (maker !== undefined && !found.has(maker)) {
      found.add(maker);
      open.push(...maker.input);
    }
  }
  return found;
}

function rewrite(
  modes: readonly OnnxMode[],
  removed: ReadonlySet<number>,
): { modes: Rewritten[]; droppedOutputs: ReadonlySet<string> } {
  const removedBranches = ({ branches }: OnnxMode) => branches.filter((_, i) => removed.has(i));
  const without = (unwanted: ReadonlySet<string>): RemainingGraph[] =>
    modes.map((mode) => removeBranches(mode.index, removedBranches(mode), unwanted));
  const beside = new Set(
    modes.flatMap((mode) => [...ignoredOutputs(mode.index, removedBranches(mode))]),
  );
  const orphans = new Set(
    inputsUnread(modes, without(beside))
      .map(presentName)
      .filter((name) => modes[0]?.index.outputs.has(name)),
  );
  const unwanted = new Set([...beside, ...orphans]);
  const tried = without(unwanted);
  // Both branches of an If must have the same outputs.
  const droppedOutputs = new Set(
    [...unwanted].filter(
      (name) => orphans.has(name) || tried.every((mode) => mode.droppedOutputs.has(name)),
    ),
  );
  const all = droppedOutputs.size < unwanted.size ? without(droppedOutputs) : tried;
  const rewritten = modes.map((mode, i) => {
    const remaining = all[i] ?? removeBranches(mode.index, [], droppedOutputs);
    const left = new Map<Scope, NodeProto[]>();
    for (const [proto, nodes] of remainingNodes(mode, remaining)) {
      const scope = mode.place.scopeOf(proto);
      const known = left.get(scope);
      if (known === undefined) {
        left.set(scope, [...nodes]);
      } else {
        known.push(...nodes);
      }
    }
    return { ...mode, remaining, left };
  });
  return { modes: rewritten, droppedOutputs };
}

/** Inputs that a mode used before and that no mode uses now. */
function inputsUnread(modes: readonly OnnxMode[], all: readonly RemainingGraph[]): string[] {
  const read = new Set(
    all.flatMap(({ live, resolve }) => [...live].flatMap(({ inputs }) => inputs.map(resolve))),
  );
  const inputs = modes[0]?.index.inputs ?? [];
  return inputs
    .map(({ name }) => name)
    .filter((name) => !read.has(name) && modes.some(({ index }) => index.consumers.has(name)));
}

function findBranch(
  { left, remaining, place: { wrapping } }: Rewritten,
  isWanted: readonly boolean[],
): GraphProto {
  const { branch, node } = wrapping;
  const inside = left.get('branch') ?? [];
  const output = branch.output.filter((_, place) => isWanted[place]);
  const bridges = branch.output.flatMap(({ name }, place) => {
    const given = node.output[place] ?? '';
    const source = remaining.resolve(given) === given ? name : given;
    const input = remaining.resolve(source);
    return isWanted[place] !== true || input === name ? [] : [bridge(input, name)];
  });
  const all = [...inside, ...bridges];
  const made = new Set(all.flatMap((one) => one.output));
  return copyWith(branch, {
    node: all,
    output,
    valueInfo: branch.valueInfo.filter(({ name }) => made.has(name)),
  });
}

/** @throws UserError if nodes of the main graph read values from inside a branch */
function requireApart({ file, place: { wrapping } }: OnnxMode, nodes: readonly NodeProto[]): void {
  const outside = new Set(wrapping.node.output);
  const inside = new Set(
    wrapping.branch.node.flatMap(({ output }) => output.filter((name) => !outside.has(name))),
  );
  const lost = nodes.flatMap(({ input }) => input).find((name) => inside.has(name));
  if (lost !== undefined) {
    throw new UserError(
      'layer-across-if',
      say`A layer begins inside an If node and ends outside it.`,
      {
        file: file.path,
        field: lost,
        remedy: say`Choose other layers, or export the model without If.`,
      },
    );
  }
}
