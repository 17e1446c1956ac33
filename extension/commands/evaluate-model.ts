import type { ProfileEvaluation } from '../core/prune/layer-profile';
import { wholeModel } from '../services/sessions/selection';
import type { Services } from '../services/services';
import { sessionOf } from './open-heatmap';
import { chooseTarget } from './target';

/** Answers given beforehand. */
export interface EvaluateOptions {
  /** Evaluate the model without the sublayers that are marked in the heatmap. */
  readonly selection?: boolean;
  /** Path of a model to compare with, which is evaluated too. */
  readonly against?: string;
}

/** Measures perplexity and speed on held-out text: of a model, or of what a plan leaves of it. */
export async function evaluateModel(
  services: Services,
  argument: unknown,
  options: EvaluateOptions = {},
): Promise<ProfileEvaluation | undefined> {
  const target = await chooseTarget(argument, services, 'evaluateModel');
  if (target === undefined) {
    return undefined;
  }
  await services.models.require(target.model, 'evaluate');
  const session = await sessionOf(services, target);
  const ofSelection = options.selection ?? (target.plan ?? target.session) !== undefined;
  const choice = ofSelection ? session.choice : wholeModel;
  return services.modelJobs.evaluate(session, choice, options.against);
}
