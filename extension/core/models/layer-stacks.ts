import type { LayeredModel } from './layered-model';
import type { LinearLayer } from './matrix-encoding';

/**
 * Linear layers that share one quantization type: a single layer, or the same layer of all experts of a MoE layer, which
 * GGUF files store as one tensor.
 */
export interface LayerStack extends Pick<LinearLayer, 'id' | 'sublayer' | 'role' | 'in'> {
  /** Rows of all its layers. */
  readonly out: number;
  readonly layers: readonly LinearLayer[];
}

export const singleLayer = (layer: LinearLayer): LayerStack => ({ ...layer, layers: [layer] });

/** Stacks of linear layers, in the order of their first layers. A stack of experts has an id such as `block.3.expert.down`. */
export function stackExperts(
  { summary }: Pick<LayeredModel, 'summary'>,
  layers: readonly LinearLayer[],
): LayerStack[] {
  const stacks = new Map<string, LinearLayer[]>();
  for (const layer of layers) {
    const { id, sublayer, role, expert } = layer;
    const key =
      expert === undefined ? id : `${summary.sublayers[sublayer]?.id ?? sublayer}.${role}`;
    const known = stacks.get(key);
    if (known === undefined) {
      stacks.set(key, [layer]);
    } else {
      known.push(layer);
    }
  }
  return [...stacks].flatMap(([id, all]) => {
    const [first] = all;
    return first === undefined
      ? []
      : [
          {
            ...{ id, sublayer: first.sublayer, role: first.role, in: first.in },
            out: all.reduce((sum, { out }) => sum + out, 0),
            layers: all,
          },
        ];
  });
}

/** Stacks of all linear layers of a model. */
export const modelStacks = (model: LayeredModel): LayerStack[] =>
  stackExperts(
    model,
    model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers),
  );
