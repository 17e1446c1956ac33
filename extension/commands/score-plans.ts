import { l10n } from 'vscode';
import { runFor } from '../services/jobs/model-requests';
import type { BudgetChoice, ScoredFront } from '../protocol/compression';
import { CompressionSession } from '../services/sessions/compression-session';
import type { Services } from '../services/services';
import { chooseTask } from './questions/choose-measure';

export interface ScorePlansOptions {
  /** Budget and allowed changes of the plans. */
  readonly choice?: BudgetChoice;
  /** The answer to which task, so that it is not asked. */
  readonly task?: string;
}

/** Evaluates models of all sizes on a task, with the values of the panel's form. */
export async function scorePlans(
  services: Services,
  session: unknown,
  { choice, ...options }: ScorePlansOptions = {},
): Promise<ScoredFront | undefined> {
  if (!(session instanceof CompressionSession) || choice === undefined) {
    return undefined;
  }
  const task =
    options.task ?? (await chooseTask(session.model.path, l10n.t('Measure Task Scores')));
  if (task === undefined) {
    return undefined;
  }
  const request = services.plans.frontRequest(session, choice, task);
  await runFor(services.jobs, session, 'pareto', request);
  return session.scores;
}
