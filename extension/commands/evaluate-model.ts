import { l10n } from 'vscode';
import { perplexityRequest, runFor, taskRequest } from '../services/jobs/model-requests';
import type { RequestOf, ResultOf } from '../services/jobs/operations';
import { isWhole, wholeModel } from '../services/sessions/selection';
import type { Services } from '../services/services';
import { assertAllowed } from '../services/trust';
import { openSession } from './open-heatmap';
import { chooseMeasure, chooseOther } from './questions/choose-measure';
import type { Measure } from './questions/choose-measure';
import { chooseTarget } from './target';

/** Answers given in advance to the questions of the command. */
export interface EvaluateOptions {
  /** Evaluate the model without the sublayers that are marked in the heatmap. */
  readonly selection?: boolean;
  /** Path of a model to compare with, which is evaluated too. */
  readonly against?: string;
  /** Text or a task; asked for if undefined, except by the heatmap, which shows perplexity. */
  readonly measure?: Measure;
}

/** Measures perplexity on held-out text or accuracy on a task, for a model or for the result of a plan. */
export async function evaluateModel(
  services: Services,
  argument: unknown,
  options: EvaluateOptions = {},
): Promise<ResultOf<'evaluate'> | undefined> {
  const target = await chooseTarget(argument, services, 'evaluateModel', 1);
  if (target === undefined) {
    return undefined;
  }
  await services.models.require(target.model, 'evaluate');
  const session = await openSession(services, target);
  assertAllowed(session.blocked);
  const { model } = session;
  const evaluatesSelection = options.selection ?? (target.plan ?? target.session) !== undefined;
  const choice = evaluatesSelection ? session.choice : wholeModel;
  const title = l10n.t('Evaluate {0}', model.name);
  const measure =
    options.measure ??
    (options.selection === undefined ? await chooseMeasure(title, model.path) : 'text');
  if (measure === undefined) {
    return undefined;
  }
  const { settings, jobs } = services;
  const run = async (request: RequestOf<'evaluate'>): Promise<ResultOf<'evaluate'>> =>
    runFor(jobs, session, 'evaluate', request);
  if (measure === 'text') {
    return run(perplexityRequest(settings, session, choice, options.against));
  }
  const { against } = options;
  const isCompared = measure === 'compared-text';
  // A pruned selection is compared with the original.
  const isAsked = isWhole(choice) && (isCompared || options.measure === undefined);
  const other =
    against === undefined && isAsked
      ? await chooseOther(services, title, model, !isCompared)
      : options;
  if (other === undefined) {
    return undefined;
  }
  return isCompared
    ? run(perplexityRequest(settings, session, choice, other.against ?? model.path))
    : run(taskRequest(settings, session, choice, measure, other.against));
}
