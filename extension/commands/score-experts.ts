import { l10n } from 'vscode';
import { fileExists, defaultPlanPath } from '../services/documents/documents';
import { scoreExperts as operation } from '../core/operations/score-experts';
import { runFor } from '../services/jobs/model-requests';
import type { ResultOf } from '../services/jobs/operations';
import type { Services } from '../services/services';
import { assertAllowed } from '../services/trust';
import { clickedSublayer, openSession } from './open-heatmap';
import { askText } from './questions/ask';
import { confirmReplace } from './questions/confirm-replace';
import { chooseTarget } from './target';

/** Answers given in advance to the questions of the command. */
export interface ScoreExpertsOptions {
  /** Fraction of the experts of each MoE layer to remove. */
  readonly ratio?: number;
  /** Replace the plan next to the model without asking. */
  readonly overwrite?: boolean;
}

/** Ranks the experts of each MoE layer in one pass (REAP), and marks the least salient in the heatmap. */
export async function scoreExperts(
  services: Services,
  argument: unknown,
  { ratio: given, overwrite = false }: ScoreExpertsOptions = {},
): Promise<ResultOf<'score-experts'> | undefined> {
  const isFromCell = clickedSublayer(argument) !== undefined;
  const target = await chooseTarget(isFromCell ? undefined : argument, services, 'scoreExperts', 1);
  if (target === undefined) {
    return undefined;
  }
  await services.models.require(target.model, 'run');
  const session = await openSession(services, target);
  assertAllowed(session.blocked);
  const { name, path } = session.model;
  const ratio = given ?? (await askRatio(l10n.t('Score experts of {0}', name)));
  if (ratio === undefined) {
    return undefined;
  }
  const out = defaultPlanPath(path);
  const replaces = !overwrite && (await fileExists(out));
  if (replaces && !(await confirmReplace(out, l10n.t('Replace')))) {
    return undefined;
  }
  const request = services.settings.request(operation, { model: path, ratio, out });
  return runFor(services.jobs, session, 'score-experts', request);
}

async function askRatio(title: string): Promise<number | undefined> {
  const typed = await askText({
    title,
    prompt: l10n.t('Experts to remove from each MoE layer, in %'),
    value: '25',
    validateInput: (text) => {
      const percent = Number(text);
      return percent > 0 && percent < 100
        ? undefined
        : l10n.t('Enter a number above 0 and below 100.');
    },
  });
  return typed === undefined ? undefined : Number(typed) / 100;
}
