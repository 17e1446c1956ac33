import { commands, l10n, Uri } from 'vscode';
import type { LogOutputChannel } from 'vscode';
import { UserError } from '../core/user-error';
import { commandIds } from './command-ids';
import { offer } from './offer';
import type { Action } from './offer';
import { untrusted, untrustedData, untrustedSynthesis } from './trust';
import { describeExit, RequestCancelled, WorkerCrashed, WorkerRequestError } from './worker-errors';

/** What goes on with a job whose process has ended, by the job's name. */
const resumeCommands: Readonly<Record<string, string>> = {
  profile: commandIds.resumeProfile,
  sensitivity: commandIds.resumeSensitivity,
  compress: commandIds.resumeJob,
  repair: commandIds.resumeJob,
  patch: commandIds.resumeJob,
  scoreData: commandIds.resumeScoring,
  scoreText: commandIds.scoreText,
  synthesize: commandIds.resumeSynthesis,
};

/** An error in the user's words. */
export function describeError(error: unknown): string {
  if (error instanceof WorkerCrashed) {
    return [
      l10n.t('The worker process ended ({0}).', describeExit(error.exit)),
      resumeCommands[error.method] !== undefined
        ? l10n.t('What is done is kept: Resume goes on where it stopped.')
        : l10n.t('Nothing half-written is left; the next command starts a new one.'),
      memoryHint(error),
    ]
      .filter((part) => part !== undefined)
      .join(' ');
  }
  return error instanceof Error ? error.message : String(error);
}

/** The same below a headline that says which job stopped, and beside a button that resumes it. */
export function describeInPanel(error: unknown): string {
  return error instanceof WorkerCrashed
    ? [l10n.t('It ended with {0}.', describeExit(error.exit)), memoryHint(error)]
        .filter((part) => part !== undefined)
        .join(' ')
    : describeError(error);
}

/** Linux ends a process that takes too much memory by this signal. */
function memoryHint(error: WorkerCrashed): string | undefined {
  return error.exit.signal === 'SIGKILL'
    ? l10n.t('If the system ran out of memory, lower the setting espalier.memory.')
    : undefined;
}

/**
 * Logs an error and, unless a panel does, shows it with what can be done about it. Cancellation is
 * no error.
 */
export async function reportError(
  error: unknown,
  log: LogOutputChannel,
  shownInPanel = false,
): Promise<void> {
  if (error instanceof RequestCancelled) {
    return;
  }
  const expected =
    error instanceof UserError ||
    error instanceof WorkerCrashed ||
    (error instanceof WorkerRequestError && error.data.kind === 'user');
  log.error(error instanceof Error && !expected ? error : describeError(error));
  if (shownInPanel) {
    return;
  }
  const crashed = error instanceof WorkerCrashed ? error : undefined;
  const resumeCommand = resumeCommands[crashed?.method ?? ''];
  const file = fileOf(error);
  const setting = error instanceof UserError ? settingOf(error) : undefined;
  const lacksTrust =
    error instanceof UserError &&
    [untrusted(), untrustedData(), untrustedSynthesis()].includes(error.problem);
  const run =
    (command: string, ...args: readonly unknown[]) =>
    () =>
      commands.executeCommand(command, ...args);
  const actions: Action[] = [];
  if (resumeCommand !== undefined) {
    actions.push([l10n.t('Resume'), run(resumeCommand, crashed?.model)]);
  }
  if (file !== undefined) {
    actions.push([l10n.t('Open File'), run('vscode.open', Uri.file(file))]);
  }
  if (setting !== undefined) {
    actions.push([l10n.t('Open Setting'), run('workbench.action.openSettings', setting)]);
  }
  if (lacksTrust) {
    actions.push([l10n.t('Manage Trust'), run('workbench.trust.manage')]);
  }
  const showLog: Action = [
    l10n.t('Show Log'),
    () => {
      log.show();
    },
  ];
  await offer(describeError(error), [...actions, showLog], 'error');
}

/** Text files that an error names can be opened; weights and folders cannot. */
function fileOf(error: unknown): string | undefined {
  const file =
    error instanceof UserError
      ? error.subject.file
      : error instanceof WorkerRequestError
        ? error.data.file
        : undefined;
  return file !== undefined && /\.(json|jsonl|txt|md)$/.test(file) ? file : undefined;
}

function settingOf(error: UserError): string | undefined {
  const { field } = error.subject;
  return field?.startsWith('espalier.') === true ? field : undefined;
}
