import { BuiltModel } from '../../training/built-model';
import { activation, dense, dropout, sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { encoder } from './encoder';
import { graphModule } from './graph-module';
import type { ModuleMode } from '../../models/patch/graph-slots';
import type { NetworkSize } from './network-sizes';

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
