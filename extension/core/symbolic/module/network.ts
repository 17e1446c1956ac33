import { BuiltModel } from '../../training/built-model';
import { activation, dense, dropout, sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { encoder } from './encoder';
import type { EncoderOptions } from './encoder';
import { graphModule } from './graph-module';
import type { ModuleMode } from '../../models/patch/graph-slots';

/** Sizes of the network of arXiv 2303.03340. */
export interface NetworkSize {
  readonly encoder: EncoderOptions;
  /** Width d of what a graph module or its substitute reads. */
  readonly features: number;
}

/** The published one, and one that an ordinary machine trains in seconds. */
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

/** What stands behind the encoder. */
export type Head =
  /** One dense layer: the baseline. */
  | { readonly kind: 'linear' }
  /** As many parameters as a graph module, without a graph. */
  | { readonly kind: 'mlp' }
  | { readonly kind: 'graph'; readonly graph: SymbolicGraph; readonly mode: ModuleMode };

/** Name of a network's input, float32 [batch, 1, size, size] within −1 to 1. */
export const imageInput = 'image';

/** An untrained network of one logit; parameters are drawn from `seed`. */
export function createNetwork(size: NetworkSize, head: Head, seed: number): BuiltModel {
  const { imageSize } = size.encoder;
  const layers = sequential({ encoder: encoder(size.encoder), ...headLayers(size, head) });
  return new BuiltModel(
    { name: imageInput, shape: ['batch', 1, imageSize, imageSize] },
    layers,
    seed,
  );
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
