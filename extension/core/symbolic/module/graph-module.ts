import { emitGraphConvolutions } from '../../models/patch/graph-convolutions';
import type { ModuleMode } from '../../models/patch/graph-slots';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { dense, dropout } from '../../training/layers';
import type { Layer } from '../../training/layers';
import type { ShapedValue } from '../../training/losses';
import { UserError } from '../../user-error';
import { say } from '../../message';

export interface GraphModuleOptions {
  readonly mode: ModuleMode;
  readonly outputs: number;
  /** Number of graph convolutions; 3 in the paper. */
  readonly layers?: number;
  /** Dropout rate of node and edge features in training; 0.3 in the paper. */
  readonly dropout?: number;
}

/**
 * Neural module of a graph (arXiv 2303.03340, § 3.2): [rows, d] → [rows, outputs], a linear readout after the graph
 * convolutions, see {@link emitGraphConvolutions}. d is a multiple of 4 with at least one element per slot of the
 * graph.
 */
export function graphModule(graph: SymbolicGraph, options: GraphModuleOptions): Layer {
  const { mode, outputs, layers = 3, dropout: rate = 0.3 } = options;
  return (context, x) => {
    const width = requireWidth(x);
    const dropped = dropout(rate);
    const shapeFeatures = (value: string, ids: number): ShapedValue => ({
      value,
      shape: [...x.shape.slice(0, 1), ids, width],
    });
    const pooled = emitGraphConvolutions(context.graph, graph, x.value, {
      mode,
      width,
      layers,
      drop: (value, ids) => dropped(context, shapeFeatures(value, ids)).value,
      mix: (layer, value) =>
        dense(width)(
          context.within(`convolution_${layer}`),
          shapeFeatures(value, graph.nodes.length),
        ).value,
    });
    return dense(outputs)(context.within('readout'), { value: pooled, shape: x.shape });
  };
}

function requireWidth({ shape }: ShapedValue): number {
  const width = shape.at(-1);
  if (typeof width !== 'number' || shape.length !== 2) {
    throw new UserError(
      'module-width-unknown',
      say`The input of a graph module must be rows of a known width.`,
      {
        remedy: say`Leave only the number of rows dynamic.`,
      },
    );
  }
  return width;
}
