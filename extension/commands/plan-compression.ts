import { l10n, window } from 'vscode';
import { formatDuration } from '../core/format';
import { UserError } from '../core/user-error';
import { runFor } from '../services/jobs/model-requests';
import type { BudgetChoice, MadePlan } from '../protocol/compression';
import type { RequestOf } from '../services/jobs/operations';
import type { CompressionSession } from '../services/sessions/compression-session';
import type { Services } from '../services/services';
import { chooseCompression } from './open-compression';
import { say } from '../core/message';

/** Questions before a plan is measured. */
export interface PlanOptions {
  /** Ask before the plan is measured, with an estimate of the time. */
  readonly asks?: boolean;
}

/** Plans the encoding of every layer under a budget, with the values of the panel's form. */
export async function planCompression(
  services: Services,
  argument: unknown,
  { asks = false, ...choice }: Partial<BudgetChoice> & PlanOptions = {},
): Promise<MadePlan | undefined> {
  const session = await chooseCompression(services, argument, 'planCompression');
  if (session === undefined) {
    return undefined;
  }
  const { limits = [], context } = choice;
  const { schemes = [], removes = false, prunesWidths = false, embeddingAndHead = false } = choice;
  if (limits.length === 0 || (schemes.length === 0 && !removes && !prunesWidths)) {
    throw new UserError(
      'plan-limit-missing',
      say`A plan needs a limit and at least one allowed kind of change.`,
      { remedy: say`Choose them in the compression panel.` },
    );
  }
  const request = services.plans.request(session, {
    ...{ limits, context, schemes, removes, prunesWidths, embeddingAndHead },
  });
  if (asks && !(await confirmMeasuring(services, session, request))) {
    return undefined;
  }
  await runFor(services.jobs, session, 'plan-compression', request);
  return session.plan;
}

/** Asks before the plan is measured, with an estimate of the time. */
async function confirmMeasuring(
  { inspector }: Services,
  { table }: CompressionSession,
  request: RequestOf<'plan-compression'>,
): Promise<boolean> {
  const operation = 'plan-compression';
  const seconds = await inspector.request('estimate', { operation, request }).catch(() => null);
  const time =
    seconds === null
      ? l10n.t(
          'Measuring the layers took {0}; a plan usually takes less.',
          formatDuration(table?.seconds ?? 0),
        )
      : l10n.t('It takes about {0}.', formatDuration(seconds));
  const resumeNote = l10n.t('You can cancel and resume: measurements are saved.');
  const measure = l10n.t('Measure');
  const chosen = await window.showInformationMessage(
    l10n.t('Run the model with this plan?'),
    { modal: true, detail: `${time} ${resumeNote}` },
    measure,
  );
  return chosen === measure;
}
