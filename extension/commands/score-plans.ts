import { dirname } from 'node:path';
import { l10n, Uri, window } from 'vscode';
import type { BudgetChoice, ScoredFront } from '../protocol/compression';
import { CompressionSession } from '../services/sessions/compression-session';
import type { Services } from '../services/services';

export interface ScorePlansOptions {
  /** What plans are made for. */
  readonly choice?: BudgetChoice;
  /** The answer to which task, so that it is not asked. */
  readonly task?: string;
}

/** Runs models of all sizes on a task, as the form of the compression panel asks. */
export async function scorePlans(
  services: Services,
  session: unknown,
  { choice, ...options }: ScorePlansOptions = {},
): Promise<ScoredFront | undefined> {
  if (!(session instanceof CompressionSession) || choice === undefined) {
    return undefined;
  }
  const task = options.task ?? (await chooseTask(session.model.path));
  return task === undefined
    ? undefined
    : services.compressionJobs.scorePlans(session, choice, task);
}

async function chooseTask(near: string): Promise<string | undefined> {
  const [file] =
    (await window.showOpenDialog({
      title: l10n.t('Task: a JSONL file of questions with right answers'),
      openLabel: l10n.t('Measure Task Scores'),
      filters: { JSONL: ['jsonl'] },
      defaultUri: Uri.file(dirname(near)),
    })) ?? [];
  return file?.fsPath;
}
