import { commands, Disposable, l10n, MarkdownString, StatusBarAlignment, window } from 'vscode';
import { commandIds } from '../services/command-ids';
import { formatCount } from '../core/format';
import { jobTitle, percentOf } from '../services/jobs';
import type { JobRunner, RunningJob } from '../services/jobs';

/** The status bar items that are there while jobs run, one for each process that runs them. */
export function showJobStatus(runners: readonly JobRunner[]): Disposable {
  let running = false;
  const tell = (): void => {
    const runs = runners.some(({ current }) => current !== undefined);
    if (runs !== running) {
      running = runs;
      void commands.executeCommand('setContext', 'espalier.jobRunning', running);
    }
  };
  return Disposable.from(
    ...runners.map((runner, i) => showOne(runner, `espalier.job${i === 0 ? '' : i}`)),
    ...runners.map(({ onDidChange }) => onDidChange(tell)),
  );
}

function showOne(runner: JobRunner, id: string): Disposable {
  const item = window.createStatusBarItem(id, StatusBarAlignment.Left);
  item.name = l10n.t('Espalier Job');
  const update = (): void => {
    const job = runner.current;
    if (job === undefined) {
      item.hide();
      return;
    }
    const { progress, kind } = job;
    const percent = progress === undefined ? '' : ` ${percentOf(progress)}\u00a0%`;
    item.text = `$(loading~spin) ${jobTitle(job)}${percent}`;
    item.tooltip = tooltipOf(job);
    item.command = { command: commandIds.showJob, title: jobTitle(job), arguments: [kind] };
    item.show();
  };
  return Disposable.from(item, runner.onDidChange(update));
}

function tooltipOf(job: RunningJob): MarkdownString {
  const tooltip = new MarkdownString('', true);
  tooltip.isTrusted = { enabledCommands: [commandIds.cancelJob, commandIds.showLog] };
  tooltip.appendText(`${jobTitle(job)}\n`);
  if (job.progress !== undefined) {
    const { stage, done, total, unit } = job.progress;
    tooltip.appendText(`${stage}: ${formatCount(done)} / ${formatCount(total)} ${unit}\n`);
  }
  const kind = encodeURIComponent(JSON.stringify([job.kind]));
  tooltip.appendMarkdown(
    `\n\n[${l10n.t('Cancel')}](command:${commandIds.cancelJob}?${kind}) · [${l10n.t('Show Log')}](command:${commandIds.showLog})`,
  );
  return tooltip;
}
