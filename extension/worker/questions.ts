import { chooseForAll } from '../core/pipelines/compression/layer-choices';
import type { OpenedModel } from '../core/models/opened-model';
import type { ChooseLayersRequest, ChosenLayers } from '../protocol/worker';

export { checkPlan } from './check-plan';
export { predictPlan } from '../core/operations/budget-fields';
export { frontOf } from '../core/operations/pareto';
export { canTypeLayers } from '../core/pipelines/gguf-facts';
export { listOutputs } from '../core/export/writable';

/** What a compression would do to each layer that it is for. */
export function chooseLayers(
  { model }: OpenedModel,
  { compression, ...selection }: Omit<ChooseLayersRequest, 'model'>,
): ChosenLayers {
  const { choices, unfit } = chooseForAll(model, compression, selection);
  return { choices, unfit: unfit.length };
}
