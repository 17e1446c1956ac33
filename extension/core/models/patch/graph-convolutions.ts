import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { choiceIndices, messageFactor, slotPlace, slotCount, sinCosPositions } from './graph-slots';
import type { ModuleMode } from './graph-slots';
import type { SymbolicGraph } from './symbolic-graph';

/** Sizes of the graph and weights of each convolution. */
export interface ConvolutionParts {
  readonly mode: ModuleMode;
  /** d, a multiple of 4 with a number for each slot of the graph. */
  readonly width: number;
  readonly layers: number;
  /** Applied to features of nodes or edges [rows, ids, d] before they are sent (dropout). */
  readonly drop: (features: Value, ids: number) => Value;
  /** W·h + b of convolution `layer`: [rows, nodes, d] → the same. */
  readonly mix: (layer: number, features: Value) => Value;
}

/**
 * The graph convolutions of a symbolic module (arXiv 2303.03340, § 3.2): x [rows, d] → [rows, d], the mean
 * over the nodes. Each node and edge begins with a part of the input and its position; convolutions that
 * see edges (GINE, Hu et al. 2020, with ε = 0) follow:
 *
 *     h_v ← W (D h_v + m · Σ_(u,e) ReLU(D h_u + D a_e)) + b
 */
export function emitGraphConvolutions(
  builder: GraphBuilder,
  graph: SymbolicGraph,
  x: Value,
  { mode, width, layers, drop, mix }: ConvolutionParts,
): Value {
  if (graph.edges.length === 0 || graph.nextId !== graph.nodes.length + graph.edges.length) {
    throw new Error('a module takes a connected graph of at least two nodes, its ids without gaps');
  }
  const messages = graph.edges.flatMap(({ ends: [a, b] }, edge) => [
    { from: graph.nodes.indexOf(a), to: graph.nodes.indexOf(b), edge },
    { from: graph.nodes.indexOf(b), to: graph.nodes.indexOf(a), edge },
  ]);
  // Part of the same matmul as the messages: a plain add would look like a residual stream in an exported graph.
  const sums = graph.nodes.map((_, node) => [
    ...graph.nodes.map((_other, other) => (other === node ? 1 : 0)),
    ...messages.map(({ to }) => (to === node ? messageFactor[mode] : 0)),
  ]);
  const slots = slotCount(graph, mode);
  /** Choice features and positions of nodes or edges: [rows, ids, d]. */
  const starts = (ids: readonly number[], columns: readonly number[]): Value => {
    const places = ids.map((id, i) => slotPlace(id, columns[i] ?? 0, slots, mode));
    const indices = builder.ints(choiceIndices(ids, slots, width).flat(), [ids.length, width]);
    const choices = builder.op('Gather', [x, indices], { axis: 1 });
    const positions = builder.floats(sinCosPositions(places, width), [ids.length, width]);
    return builder.op('Add', [choices, positions]);
  };
  const pick = (value: Value, rows: readonly number[]): Value =>
    builder.op('Gather', [value, builder.ints(rows)], { axis: 1 });
  const edges = starts(
    graph.edges.map(({ id }) => id),
    graph.edges.map(({ port }) => port + 1),
  );
  let nodes = starts(
    graph.nodes,
    graph.nodes.map(() => 0),
  );
  const incidence = builder.floats(sums.flat(), [
    graph.nodes.length,
    graph.nodes.length + messages.length,
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const own = drop(nodes, graph.nodes.length);
    const along = drop(edges, graph.edges.length);
    const sent = builder.op('Add', [
      pick(
        own,
        messages.map(({ from }) => from),
      ),
      pick(
        along,
        messages.map(({ edge }) => edge),
      ),
    ]);
    const all = builder.op('Concat', [own, builder.op('Relu', [sent])], { axis: 1 });
    nodes = mix(layer, builder.op('MatMul', [incidence, all]));
  }
  return builder.reduce('ReduceMean', nodes, [1], 0);
}
