import { commands, Disposable, l10n, MarkdownString, StatusBarAlignment, window } from 'vscode';
import { commandIds } from '../services/command-ids';
import { formatCount } from '../core/format';
import { jobTitle, percentOf } from '../services/jobs';
import type { Jobs } from '../services/jobs';

/** The status bar item that is there while a job runs. */
export function showJobStatus(jobs: Jobs): Disposable {
  const item = window.createStatusBarItem('espalier.job', StatusBarAlignment.Left);
  item.name = l10n.t('Espalier Job');
  item.command = commandIds.showJob;
  let running = false;
  const update = (): void => {
    const job = jobs.current;
    if (running !== (job !== undefined)) {
      running = job !== undefined;
      void commands.executeCommand('setContext', 'espalier.jobRunning', running);
    }
    if (job === undefined) {
      item.hide();
      return;
    }
    const { progress } = job;
    const percent = progress === undefined ? '' : ` ${percentOf(progress)}\u00a0%`;
    item.text = `$(loading~spin) ${jobTitle(job)}${percent}`;
    const tooltip = new MarkdownString('', true);
    tooltip.isTrusted = { enabledCommands: [commandIds.cancelJob, commandIds.showLog] };
    tooltip.appendText(`${jobTitle(job)}\n`);
    if (progress !== undefined) {
      const { stage, done, total, unit } = progress;
      tooltip.appendText(`${stage}: ${formatCount(done)} / ${formatCount(total)} ${unit}\n`);
    }
    tooltip.appendMarkdown(
      `\n\n[${l10n.t('Cancel')}](command:${commandIds.cancelJob}) · [${l10n.t('Show Log')}](command:${commandIds.showLog})`,
    );
    item.tooltip = tooltip;
    item.show();
  };
  return Disposable.from(item, jobs.onDidChange(update));
}
