import { l10n, window } from 'vscode';
import type { ProfileEvaluation } from '../core/prune/layer-profile';
import { commandIds } from '../services/command-ids';
import { formatCount } from '../core/format';
import type { ModelSession } from '../services/model-session';
import { wholeModel } from '../services/selection';
import type { Choice } from '../services/selection';
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
  const target = await chooseTarget(argument, services);
  if (target === undefined) {
    return undefined;
  }
  await services.models.require(target.model, 'evaluate');
  const session = await sessionOf(services, target);
  const ofSelection = options.selection ?? (target.plan ?? target.session) !== undefined;
  const choice = ofSelection ? session.choice : wholeModel;
  const other =
    options.against === undefined ? undefined : await services.sessions.open(options.against);
  // Measured anew: what is known of it may be of another text, and its speed of another day.
  const reference = other && (await services.modelJobs.evaluate(other, wholeModel));
  const evaluation = await services.modelJobs.evaluate(session, choice);
  services.log.info(
    `${commandIds.evaluateModel} ${session.model.path}`,
    JSON.stringify(evaluation),
  );
  if (other !== undefined && reference !== undefined) {
    void window.showInformationMessage(
      l10n.t(
        '{0}: perplexity {1}, {2} tokens per second; {3}: {4}, {5}.',
        session.model.name,
        evaluation.perplexity.toPrecision(4),
        formatCount(evaluation.tokensPerSecond),
        other.model.name,
        reference.perplexity.toPrecision(4),
        formatCount(reference.tokensPerSecond),
      ),
    );
  } else if (!ofSelection || !services.modelJobs.isShown(session)) {
    void window.showInformationMessage(describe(session, choice, evaluation));
  }
  return evaluation;
}

function describe(
  session: ModelSession,
  { removed, patches }: Choice,
  evaluation: ProfileEvaluation,
): string {
  const { name } = session.model;
  const perplexity = evaluation.perplexity.toPrecision(4);
  const speed = formatCount(evaluation.tokensPerSecond);
  const original = session.originalEvaluation;
  if (removed.length === 0 || original === undefined) {
    return l10n.t(
      '{0}: perplexity {1} on {2} tokens, {3} tokens per second.',
      name,
      perplexity,
      formatCount(evaluation.tokens),
      speed,
    );
  }
  const numbers = [
    perplexity,
    original.perplexity.toPrecision(4),
    speed,
    formatCount(original.tokensPerSecond),
  ];
  return patches.length === 0
    ? l10n.t(
        '{0} without {1} sublayers: perplexity {2} instead of {3}, {4} tokens per second instead of {5}.',
        name,
        removed.length,
        ...numbers,
      )
    : l10n.t(
        '{0} with {1} sublayers removed and {2} patched: perplexity {3} instead of {4}, {5} tokens per second instead of {6}.',
        name,
        removed.length - patches.length,
        patches.length,
        ...numbers,
      );
}
