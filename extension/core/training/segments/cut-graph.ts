import { GraphIndex } from '../../models/onnx/graph-index';
import type { GraphNode } from '../../models/onnx/graph-index';
import { ValueShapes } from '../../models/onnx/values/value-shapes';
import { ValueTypes } from '../../models/onnx/values/value-types';
import { GraphBuilder } from '../../onnx/graph-builder';
import type { Dimension, Value } from '../../onnx/graph-builder';
import { valueInfo } from '../../onnx/messages';
import { dependents } from '../backward';

/** Consecutive nodes of a graph, as a separate graph. */
export interface Segment {
  /** Values of earlier segments that it reads. */
  readonly reads: readonly Value[];
  /** Its values that later segments read. */
  readonly gives: readonly Value[];
  /** Trained parameters that it reads. */
  readonly trained: readonly Value[];
  /** Builds a graph of its nodes, without outputs. */
  readonly build: () => GraphBuilder;
}

export interface CutGraph {
  readonly segments: readonly Segment[];
  /** Values that depend on trained parameters. */
  readonly moving: ReadonlySet<Value>;
  readonly typeOf: (value: Value) => number;
  readonly shapeOf: (value: Value) => readonly Dimension[] | undefined;
}

/**
 * Cuts a graph after the nodes that produce `cuts`. Values that depend on weights only are computed in every segment
 * that reads them, so no weights are stored between segments.
 */
export function cutGraph(
  graph: GraphBuilder,
  trained: readonly Value[],
  cuts: readonly Value[],
): CutGraph {
  const proto = graph.graph;
  const index = new GraphIndex(proto, proto.name);
  const initializers = new Map(proto.initializer.map((tensor) => [tensor.name, tensor]));
  const types = new ValueTypes({ graph: proto, initializers }, index);
  const shapes = new ValueShapes(proto, index);
  const parts = splitNodes(index, new Set(cuts));
  const madeIn = new Map(
    parts.flatMap((nodes, k) =>
      nodes.flatMap((node) => node.outputs.map((value) => [value, k] as const)),
    ),
  );
  const all = parts.map((nodes) => withConstants(nodes, index));
  const readBy = all.map((nodes) => new Set(nodes.flatMap(({ inputs }) => inputs)));
  const segments = all.map((nodes, k): Segment => {
    const read = readBy[k] ?? new Set<Value>();
    const reads = [...read].filter((value) => (madeIn.get(value) ?? k) < k);
    const later = readBy.slice(k + 1);
    return {
      reads,
      gives: [...madeIn]
        .filter(([value, at]) => at === k && later.some((values) => values.has(value)))
        .map(([value]) => value),
      trained: trained.filter((value) => read.has(value)),
      build: () =>
        GraphBuilder.over(`segment.${k}`, {
          nodes: nodes.map((node) => node.proto),
          inputs: [
            ...proto.input.filter(({ name }) => read.has(name)),
            ...reads.map((value) => valueInfo(value, types.of(value), shapes.of(value))),
          ],
          outputs: [],
          constants: proto.initializer.filter(
            ({ name, externalData }) => read.has(name) && externalData.length === 0,
          ),
          weights: graph.externalData.filter(({ name }) => read.has(name)),
          opsets: graph.opsetImports,
        }),
    };
  });
  return {
    segments,
    moving: dependents(index.nodes, trained, types),
    typeOf: (value) => types.of(value),
    shapeOf: (value) => shapes.of(value),
  };
}

/** Splits the nodes that depend on inputs at the cuts. */
function splitNodes(
  { nodes, constants }: GraphIndex,
  cuts: ReadonlySet<Value>,
): readonly (readonly GraphNode[])[] {
  let last: GraphNode[] = [];
  const parts = [last];
  for (const node of nodes) {
    if (node.outputs.every((value) => constants.has(value))) {
      continue;
    }
    last.push(node);
    if (node.outputs.some((value) => cuts.has(value))) {
      last = [];
      parts.push(last);
    }
  }
  return parts;
}

/** Adds the nodes that these nodes need and that depend on weights only, in graph order. */
function withConstants(
  nodes: readonly GraphNode[],
  { constants, producers }: GraphIndex,
): readonly GraphNode[] {
  const found = new Set(nodes);
  for (const { inputs } of found) {
    for (const value of inputs) {
      const maker = constants.has(value) ? producers.get(value) : undefined;
      if (maker !== undefined) {
        found.add(maker);
      }
    }
  }
  return [...found].sort((a, b) => a.order - b.order);
}
