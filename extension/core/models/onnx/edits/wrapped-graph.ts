import { create } from '@bufbuild/protobuf';
import { copyWith } from '../../../onnx/messages';
import { NodeProtoSchema } from '../../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';

/** Location of a {@link FlatGraph} node in the file: its index in the main graph, the branch, or none. */
export type Scope = number | 'branch' | 'none';

/** One of the two branches of an If in the main graph. */
export interface Wrapping {
  /** Graph as stored in the file. */
  readonly parentGraph: GraphProto;
  /** The If. */
  readonly node: NodeProto;
  readonly branch: GraphProto;
  /** True for the `then` branch. */
  readonly isThen: boolean;
  /** Input that determines the branch, with its value for this branch, if there is a single one. */
  readonly condition: Condition | undefined;
}

/** Boolean input that selects a branch of an If. */
export interface Condition {
  readonly input: string;
  readonly value: boolean;
}

/** The main graph with the If replaced by the nodes of a branch. */
export interface FlatGraph {
  readonly graph: GraphProto;
  /** By node of `graph`. */
  readonly scopes: readonly Scope[];
  readonly wrapping: Wrapping;
}

/** Main graph for each value of the condition of an If. */
export function flatten(parentGraph: GraphProto, node: NodeProto): FlatGraph[] {
  return ['then_branch', 'else_branch'].flatMap((name) => {
    const branch = node.attribute.find((one) => one.name === name)?.g;
    if (branch === undefined) {
      return [];
    }
    const isThen = name === 'then_branch';
    const wrapping = {
      parentGraph,
      node,
      branch,
      isThen,
      condition: findCondition(parentGraph, node, isThen),
    };
    return [{ ...inline(parentGraph, node, branch), wrapping }];
  });
}

function inline(
  parentGraph: GraphProto,
  node: NodeProto,
  branch: GraphProto,
): Pick<FlatGraph, 'graph' | 'scopes'> {
  const bridges = branch.output.flatMap(({ name }, place) => {
    const output = node.output[place] ?? '';
    return output === '' || output === name
      ? []
      : [create(NodeProtoSchema, { opType: 'Identity', input: [name], output: [output] })];
  });
  const placed = parentGraph.node.flatMap((one, place): { one: NodeProto; scope: Scope }[] =>
    one === node
      ? [
          ...branch.node.map((inner) => ({ one: inner, scope: 'branch' as const })),
          ...bridges.map((bridge) => ({ one: bridge, scope: 'none' as const })),
        ]
      : [{ one, scope: place }],
  );
  return {
    graph: copyWith(parentGraph, {
      node: placed.map(({ one }) => one),
      valueInfo: [...parentGraph.valueInfo, ...branch.valueInfo],
    }),
    scopes: placed.map(({ scope }) => scope),
  };
}

/** Operators that pass a single truth value on. */
const passing = new Set(['Identity', 'Cast', 'Squeeze', 'Unsqueeze', 'Reshape', 'Not']);

function findCondition(
  { node: nodes, input }: GraphProto,
  { input: [condition = ''] }: NodeProto,
  isThen: boolean,
): Condition | undefined {
  const makers = new Map(nodes.flatMap((one) => one.output.map((name) => [name, one] as const)));
  const seen = new Set<NodeProto>();
  let name = condition;
  let value = isThen;
  for (let maker = makers.get(name); maker !== undefined; maker = makers.get(name)) {
    if (!passing.has(maker.opType) || seen.has(maker)) {
      return undefined;
    }
    seen.add(maker);
    value = maker.opType === 'Not' ? !value : value;
    [name = ''] = maker.input;
  }
  return input.some((port) => port.name === name) ? { input: name, value } : undefined;
}
