import { floatDTypes } from '../checkpoints/lazy-tensor';
import type { LayeredModel } from './layered-model';
import type { LinearLayer } from './matrix-encoding';

/** Weights and biases of all routers of a model. */
export const routerLayers = (model: Pick<LayeredModel, 'summary' | 'sublayer'>): LinearLayer[] =>
  model.summary.sublayers.flatMap((_, index) => model.sublayer(index).routerLayers ?? []);

/** True if the model has routers, all in floats, so that they can be trained. */
export function hasTrainableRouters(model: Pick<LayeredModel, 'summary' | 'sublayer'>): boolean {
  const layers = routerLayers(model);
  return layers.length > 0 && layers.every(({ weight }) => floatDTypes.includes(weight.dtype));
}
