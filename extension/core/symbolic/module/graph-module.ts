import type { Value } from '../../onnx/graph-builder';
import { dense, dropout } from '../../training/layers';
import type { Layer, LayerContext } from '../../training/layers';
import type { ShapedValue } from '../../training/losses';
import { UserError } from '../../user-error';
import type { SymbolicGraph } from '../graph';
import { choiceIndices, messageFactor, placeOf, slotCount } from './graph-slots';
import type { ModuleMode } from './graph-slots';
import { sinCosPositions } from './positions';

export interface GraphModuleOptions {
  readonly mode: ModuleMode;
  readonly outputs: number;
  /** Graph convolutions; 3 in the paper. */
  readonly layers?: number;
  /** Probability with which features of nodes and edges are dropped in training; 0.3 in the paper. */
  readonly dropout?: number;
}

/**
 * The neural module of a graph (arXiv 2303.03340, § 3.2): [rows, d] → [rows, outputs]. Each node and edge
 * begins with a part of the input and its position; convolutions that see edges (GINE, Hu et al. 2020,
 * with ε = 0) follow, then the mean over the nodes and a linear readout:
 *
 *     h_v ← W (D h_v + m · Σ_(u,e) ReLU(D h_u + D a_e)) + b
 *
 * d is a multiple of 4 and has a number for each slot of the graph.
 */
export function graphModule(graph: SymbolicGraph, options: GraphModuleOptions): Layer {
  const { mode, outputs, layers = 3, dropout: rate = 0.3 } = options;
  if (graph.edges.length === 0 || graph.nextId !== graph.nodes.length + graph.edges.length) {
    throw new Error('a module takes a connected graph of at least two nodes, its ids without gaps');
  }
  const messages = graph.edges.flatMap(({ ends: [a, b] }, edge) => [
    { from: graph.nodes.indexOf(a), to: graph.nodes.indexOf(b), edge },
    { from: graph.nodes.indexOf(b), to: graph.nodes.indexOf(a), edge },
  ]);
  const sums = graph.nodes.map((_, node) =>
    messages.map(({ to }) => (to === node ? messageFactor[mode] : 0)),
  );
  return (context, x) => {
    const { graph: builder } = context;
    const width = widthOf(x);
    const dropped = dropout(rate);
    const starts = (ids: readonly number[], rows: readonly number[]): ShapedValue =>
      startFeatures(context, x, ids, rows, slotCount(graph, mode), mode);
    const pick = ({ value }: ShapedValue, rows: readonly number[]): Value =>
      builder.op('Gather', [value, builder.ints(rows)], { axis: 1 });
    const edges = starts(
      graph.edges.map(({ id }) => id),
      graph.edges.map(({ port }) => port + 1),
    );
    let nodes = starts(
      graph.nodes,
      graph.nodes.map(() => 0),
    );
    const incidence = builder.floats(sums.flat(), [graph.nodes.length, messages.length]);
    for (let layer = 0; layer < layers; layer++) {
      const [own, along] = [dropped(context, nodes), dropped(context, edges)];
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
      const received = builder.op('MatMul', [incidence, builder.op('Relu', [sent])]);
      const mixed = { value: builder.op('Add', [own.value, received]), shape: nodes.shape };
      nodes = dense(width)(context.within(`convolution_${layer}`), mixed);
    }
    const pooled = builder.reduce('ReduceMean', nodes.value, [1], 0);
    return dense(outputs)(context.within('readout'), { value: pooled, shape: x.shape });
  };
}

/** Choice features and positions of nodes or edges: [rows, ids, d]. */
function startFeatures(
  { graph: builder }: LayerContext,
  x: ShapedValue,
  ids: readonly number[],
  columns: readonly number[],
  slots: number,
  mode: ModuleMode,
): ShapedValue {
  const width = widthOf(x);
  const places = ids.map((id, i) => placeOf(id, columns[i] ?? 0, slots, mode));
  const indices = builder.ints(choiceIndices(ids, slots, width).flat(), [ids.length, width]);
  const choices = builder.op('Gather', [x.value, indices], { axis: 1 });
  const positions = builder.floats(sinCosPositions(places, width), [ids.length, width]);
  return {
    value: builder.op('Add', [choices, positions]),
    shape: [...x.shape.slice(0, 1), ids.length, width],
  };
}

function widthOf({ shape }: ShapedValue): number {
  const width = shape.at(-1);
  if (typeof width !== 'number' || shape.length !== 2) {
    throw new UserError('The input of a graph module is to be rows of a known width.', {
      remedy: 'Leave only the number of rows open.',
    });
  }
  return width;
}
