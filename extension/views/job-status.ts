import { commands, Disposable, l10n, StatusBarAlignment, window } from 'vscode';
import type { StatusBarItem } from 'vscode';
import { commandIds } from '../services/command-ids';
import { isOver, isResumable } from '../services/jobs/job-record';
import type { JobRecord } from '../services/jobs/job-record';
import type { JobService } from '../services/jobs/job-service';
import { describeJob, describeStage, describeState } from '../services/jobs/job-texts';
import type { Lane } from '../services/jobs/operations';
import { jobOperations } from '../services/jobs/operations';
import { Throttle } from '../services/throttle';

const lanes: readonly Lane[] = ['worker', 'dataReader'];

/** The status bar items that are there while jobs run, one for each lane. */
export function showJobStatus(jobs: JobService): Disposable {
  const items = lanes.map((lane): [Lane, StatusBarItem] => {
    const item = window.createStatusBarItem(`espalier.job.${lane}`, StatusBarAlignment.Left);
    item.name = l10n.t('Espalier Job');
    return [lane, item];
  });
  const context = new Map<string, boolean>();
  const tell = (key: string, value: boolean): void => {
    if (context.get(key) !== value) {
      context.set(key, value);
      void commands.executeCommand('setContext', key, value);
    }
  };
  const update = (): void => {
    const running = jobs.jobs.filter((job) => !isOver(job));
    for (const [lane, item] of items) {
      show(
        item,
        jobs,
        running.filter(({ operation }) => jobOperations[operation].lane === lane),
      );
    }
    tell('espalier.jobRunning', running.length > 0);
    tell('espalier.jobsSaved', jobs.jobs.some(isResumable));
  };
  const refresh = new Throttle(update, 250);
  return Disposable.from(
    ...items.map(([, item]) => item),
    refresh,
    jobs.changed.listen(() => {
      refresh.trigger();
    }),
  );
}

function show(item: StatusBarItem, jobs: JobService, lane: readonly JobRecord[]): void {
  const job = lane.find(({ state }) => state === 'running');
  if (job === undefined) {
    item.hide();
    return;
  }
  const { progress, title } = job;
  const waiting = lane.length - 1;
  // Names of models can be long: how far it is must not be cut off.
  const state = progress === undefined ? '' : `${describeState(job, jobs)} · `;
  const more = waiting === 0 ? '' : ` · ${l10n.t('{0} queued', waiting)}`;
  item.text = `$(loading~spin) ${state}${title}${more}`;
  item.tooltip = [title, progress === undefined ? '' : describeStage(progress)]
    .filter(Boolean)
    .join('\n');
  item.accessibilityInformation = { label: `${describeJob(job, jobs)}${more}`, role: 'button' };
  item.command = { command: commandIds.showJob, title, arguments: [job.id] };
  item.show();
}
