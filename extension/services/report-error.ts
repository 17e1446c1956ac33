import { existsSync } from 'node:fs';
import { commands, l10n, Uri, workspace } from 'vscode';
import type { LogOutputChannel } from 'vscode';
import { isMessage } from '../core/message';
import { hungSignal, mostDeviceMinutes } from '../core/runtime/limits/hung-device';
import { UserError } from '../core/user-error';
import { commandIds } from './command-ids';
import { localise } from './localise';
import { offer } from './offer';
import type { Action } from './offer';
import { isResumable } from './jobs/job-record';
import type { JobRecord } from './jobs/job-record';
import { withShortPaths } from './short-paths';
import { describeExit, RequestCancelled, WorkerCrashed } from './worker/worker-errors';

/** A job that has ended with an error. */
export interface FailedJob {
  readonly job: JobRecord;
  /** True if a panel shows the error and is visible. */
  readonly isSeen: boolean;
}

/** An error, or a message of the core, in the user's words. */
export function describeError(error: unknown): string {
  if (error instanceof WorkerCrashed) {
    return [l10n.t('The worker process ended ({0}).', describeExit(error.exit)), crashHint(error)]
      .filter((part) => part !== undefined)
      .join(' ');
  }
  const roots = (workspace.workspaceFolders ?? []).map(({ uri }) => uri);
  return withShortPaths(errorText(error), roots);
}

function errorText(error: unknown): string {
  if (error instanceof UserError) {
    return localise(error.whole);
  }
  if (isMessage(error)) {
    return localise(error);
  }
  return error instanceof Error ? error.message : String(error);
}

/** Explanation of the exit signal: Linux ends a process that uses too much memory with SIGKILL. */
function crashHint({ exit }: WorkerCrashed): string | undefined {
  switch (exit.signal) {
    case 'SIGKILL':
      return l10n.t('If the system ran out of memory, lower the setting espalier.memory.');
    case hungSignal:
      return l10n.t(
        'The device did not answer for {0} minutes. If it happens again, set espalier.device to another device.',
        mostDeviceMinutes,
      );
    default:
      return undefined;
  }
}

/**
 * Logs an error and, unless a panel shows it, tells it with what can be done about it. Cancellation is
 * no error.
 */
export async function reportError(
  error: unknown,
  log: LogOutputChannel,
  failed?: FailedJob,
): Promise<void> {
  if (error instanceof RequestCancelled) {
    return;
  }
  const expected = error instanceof UserError || error instanceof WorkerCrashed;
  log.error(error instanceof Error && !expected ? error : describeError(error));
  if (failed?.isSeen === true) {
    return;
  }
  const message =
    failed === undefined
      ? describeError(error)
      : [l10n.t('{0}: {1}', failed.job.title, describeError(error)), failed.job.saved]
          .filter(Boolean)
          .join(' ');
  const showLog: Action = [
    l10n.t('Show Log'),
    () => {
      log.show();
    },
  ];
  // The message of a user error contains everything that the log contains.
  const isExplained = error instanceof UserError && failed === undefined;
  const remedies = errorActions(error, failed?.job);
  await offer(message, isExplained ? remedies : [...remedies, showLog], 'error');
}

/** Actions that help with an error. */
function errorActions(error: unknown, job: JobRecord | undefined): Action[] {
  const run =
    (command: string, ...args: readonly unknown[]) =>
    () =>
      commands.executeCommand(command, ...args);
  const file = errorFile(error);
  const setting = error instanceof UserError ? errorSetting(error) : undefined;
  const actions: Action[] = [];
  if (job !== undefined && isResumable(job)) {
    actions.push([l10n.t('Resume'), run(commandIds.resumeJob, job.id)]);
  }
  if (file !== undefined && isUnknownType(error)) {
    actions.push([l10n.t('Try as Known Family'), run(commandIds.tryFamily, file)]);
  }
  if (file !== undefined) {
    actions.push([l10n.t('Open File'), run('vscode.open', Uri.file(file))]);
  }
  if (setting !== undefined) {
    actions.push([l10n.t('Open Setting'), run('workbench.action.openSettings', setting)]);
  }
  if (error instanceof UserError && error.code === 'workspace-untrusted') {
    actions.push([l10n.t('Manage Trust'), run('workbench.trust.manage')]);
  }
  return actions;
}

/** Text files that an error names and that are there can be opened; weights and folders cannot. */
function errorFile(error: unknown): string | undefined {
  const file = error instanceof UserError ? error.subject.file : undefined;
  const isText = file !== undefined && /\.(json|jsonl|txt|md)$/.test(file);
  return isText && existsSync(file) ? file : undefined;
}

/** True if config.json names an unknown model type. */
function isUnknownType(error: unknown): boolean {
  return error instanceof UserError && error.subject.field === 'model_type';
}

function errorSetting(error: UserError): string | undefined {
  const { field } = error.subject;
  return field?.startsWith('espalier.') === true ? field : undefined;
}
