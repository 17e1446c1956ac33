import { GraphIndex } from '../../models/onnx/graph-index';
import type { GraphNode } from '../../models/onnx/graph-index';
import { ValueShapes } from '../../models/onnx/values/value-shapes';
import { ValueTypes } from '../../models/onnx/values/value-types';
import { GraphBuilder } from '../../onnx/graph-builder';
import type { Dimension, Value } from '../../onnx/graph-builder';
import { valueInfo } from '../../onnx/messages';
import { dependents } from '../backward';

/** Nodes of a graph that follow each other, as a graph of their own. */
export interface Segment {
  /** Values of earlier segments that it reads. */
  readonly reads: readonly Value[];
  /** Values of its own that later segments read. */
  readonly gives: readonly Value[];
  /** What is trained of what it reads. */
  readonly trained: readonly Value[];
  /** Its nodes, without outputs. */
  readonly build: () => GraphBuilder;
}

export interface CutGraph {
  readonly segments: readonly Segment[];
  /** Values that change with what is trained. */
  readonly moving: ReadonlySet<Value>;
  readonly typeOf: (value: Value) => number;
  readonly shapeOf: (value: Value) => readonly Dimension[] | undefined;
}

/**
 * Cuts a graph behind the nodes that make `cuts`, in its order. What depends on weights alone is in every segment
 * that reads it, so that no weights are kept between them.
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
  const parts = partsOf(index, new Set(cuts));
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

/** Nodes that do not depend on weights alone, cut. */
function partsOf(
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

/** The nodes, and what they need of those that depend on weights alone, in the graph's order. */
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
