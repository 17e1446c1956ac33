import { chooseForAll, choiceProblems } from '../core/pipelines/compression/layer-choices';
import type { ChoiceProblem } from '../core/pipelines/compression/layer-choices';
import { unitsMeant } from '../core/models/units';
import type { OpenedModel } from '../core/models/opened-model';
import type { CheckChoicesRequest, ChooseLayersRequest, ChosenLayers } from '../protocol/worker';

export { predictPlan } from '../core/operations/budget-fields';
export { frontOf } from '../core/operations/pareto';

/** What a compression would do to each layer that it is for. */
export function chooseLayers(
  { model }: OpenedModel,
  { compression, ...selection }: Omit<ChooseLayersRequest, 'model'>,
): ChosenLayers {
  const { choices, unfit } = chooseForAll(model, compression, selection);
  return { choices, unfit: unfit.length };
}

/** What is wrong with the compressions of a plan. */
export function checkChoices(
  { model, summary }: OpenedModel,
  { choices, removed }: Omit<CheckChoicesRequest, 'model'>,
): readonly ChoiceProblem[] {
  const units = removed.flatMap((id) => unitsMeant(id, summary));
  return choiceProblems(model, choices, units);
}
