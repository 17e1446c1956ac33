import { BuiltModel } from '../../training/built-model';
import { activation, dense, dropout, sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { encoder } from './encoder';
import type { ModuleMode } from '../../models/patch/graph-slots';
import { emitGraphConvolutions } from '../../models/patch/graph-convolutions';
import type { ShapedValue } from '../../training/losses';
import { UserError } from '../../user-error';
import { say } from '../../message';
import type { EncoderOptions } from './encoder';

/** Layers after the encoder. */
export type Head =
  /** One dense layer: the baseline. */
  | { readonly kind: 'linear' }
  /** MLP with the same number of parameters as a graph module. */
  | { readonly kind: 'mlp' }
  | { readonly kind: 'graph'; readonly graph: SymbolicGraph; readonly mode: ModuleMode };

/** Input name of a network, float32 [batch, 1, size, size] from −1 to 1. */
export const imageInput = 'image';

/** Untrained network with one logit; parameters are initialized from `seed`. */
export function createNetwork(size: NetworkSize, head: Head, seed: number): BuiltModel {
  const { imageSize } = size.encoder;
  const layers = sequential({ encoder: encoder(size.encoder), ...headLayers(size, head) });
  return new BuiltModel(
    { name: imageInput, shape: ['batch', 1, imageSize, imageSize] },
    layers,
    seed,
  );
}

interface GraphModuleOptions {
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
      { remedy: say`Leave only the number of rows dynamic.` },
    );
  }
  return width;
}

function headLayers({ features }: NetworkSize, head: Head): Readonly<Record<string, Layer>> {
  switch (head.kind) {
    case 'linear':
      return { readout: dense(1) };
    case 'mlp': {
      const hidden = sequential({
        dropout: dropout(0.3),
        dense: dense(features),
        relu: activation('relu'),
      });
      return {
        features: dense(features),
        module: sequential({ 0: hidden, 1: hidden, 2: hidden, readout: dense(1) }),
      };
    }
    case 'graph':
      return {
        features: dense(features),
        module: graphModule(head.graph, { mode: head.mode, outputs: 1 }),
      };
  }
}

/** Sizes of the network of arXiv 2303.03340. */
export interface NetworkSize {
  readonly encoder: EncoderOptions;
  /** Input width d of the graph module or its replacement. */
  readonly features: number;
}

/** The published size, and one that trains in seconds on a typical machine. */
export const networkSizes = {
  paper: {
    encoder: {
      ...{ imageSize: 128, patch: 16, width: 256, convolutionBlocks: 3 },
      ...{ transformerBlocks: 2, heads: 4, headSize: 128, hidden: 512 },
    },
    features: 512,
  },
  small: {
    encoder: {
      ...{ imageSize: 32, patch: 4, width: 32, convolutionBlocks: 1 },
      ...{ transformerBlocks: 1, heads: 2, headSize: 16, hidden: 64 },
    },
    features: 64,
  },
} as const satisfies Readonly<Record<string, NetworkSize>>;
