import {
  Disposable,
  EventEmitter,
  l10n,
  MarkdownString,
  ThemeColor,
  ThemeIcon,
  TreeItem,
  TreeItemCollapsibleState,
} from 'vscode';
import type { TreeDataProvider } from 'vscode';
import { formatEstimate } from '../core/format';
import { commandIds } from '../services/command-ids';
import { isOver, isResumable } from '../services/jobs/job-record';
import type { JobRecord, JobState, JobWorker } from '../services/jobs/job-record';
import type { JobService } from '../services/jobs/job-service';
import {
  describeJob,
  describeStage,
  describeState,
  describeWorker,
} from '../services/jobs/job-texts';
import { Throttle } from '../services/throttle';

const icons: Readonly<Record<JobState, ThemeIcon>> = {
  running: new ThemeIcon('loading~spin'),
  queued: new ThemeIcon('clock'),
  interrupted: new ThemeIcon('debug-pause', new ThemeColor('charts.yellow')),
  cancelled: new ThemeIcon('circle-slash'),
  failed: new ThemeIcon('error', new ThemeColor('charts.red')),
  done: new ThemeIcon('pass', new ThemeColor('charts.green')),
};

/** Order of jobs: running, queued, resumable, others. */
const order: readonly ((job: JobRecord) => boolean)[] = [
  ({ state }) => state === 'running',
  ({ state }) => state === 'queued',
  isResumable,
  () => true,
];

/** Row of a worker below its running job. */
interface WorkerRow {
  readonly id: string;
  readonly worker: JobWorker;
}
type Row = JobRecord | WorkerRow;

/** The jobs of this window and earlier ones, in the side bar. */
export class JobsView implements TreeDataProvider<Row>, Disposable {
  readonly #jobs: JobService;
  readonly #changed = new EventEmitter<Row | undefined>();
  /** States currently shown; if none changed, only single rows are redrawn. */
  readonly #shown = new Map<string, JobState>();
  readonly #stale = new Set<JobRecord>();
  readonly #disposable: Disposable;

  public readonly onDidChangeTreeData = this.#changed.event;

  public constructor(jobs: JobService) {
    this.#jobs = jobs;
    const refresh = new Throttle(() => {
      const stale = [...this.#stale];
      this.#stale.clear();
      const isMoved = stale.some(
        ({ id, state }) => this.#shown.get(id) !== state || jobs.find(id) === undefined,
      );
      // The start of waiting jobs depends on the others. Redrawing all rows would make VS Code forget them for a moment,
      // in which a click on a row's button arrives without its job.
      const waiting = jobs.jobs.filter(({ state }) => state === 'queued');
      for (const job of isMoved ? [undefined] : new Set([...stale, ...waiting])) {
        this.#changed.fire(job);
      }
    }, 500);
    this.#disposable = Disposable.from(
      this.#changed,
      refresh,
      jobs.changed.listen((job) => {
        this.#stale.add(job);
        refresh.trigger();
      }),
    );
  }

  public getChildren(parent?: Row): Row[] {
    if (parent !== undefined) {
      const workers = 'worker' in parent ? [] : (parent.workers ?? []);
      return workers.map((worker, i) => ({ id: `${parent.id} ${i}`, worker }));
    }
    const { jobs } = this.#jobs;
    this.#shown.clear();
    for (const { id, state } of jobs) {
      this.#shown.set(id, state);
    }
    const jobRank = (job: JobRecord): number => order.findIndex((isOne) => isOne(job));
    // Jobs that wait are shown in the order in which they will run.
    const jobTime = (job: JobRecord): number =>
      job.state === 'queued' ? this.#jobs.place(job) : -(job.ended ?? job.created);
    return [...jobs].sort((a, b) => jobRank(a) - jobRank(b) || jobTime(a) - jobTime(b));
  }

  public getTreeItem(row: Row): TreeItem {
    return 'worker' in row ? workerItem(row) : this.#jobItem(row);
  }

  public dispose(): void {
    this.#disposable.dispose();
  }

  #jobItem(job: JobRecord): TreeItem {
    const { Expanded, None } = TreeItemCollapsibleState;
    const state = describeState(job, this.#jobs);
    // Progress comes first while a job is active, so that a narrow side bar doesn't truncate it.
    const [label, description] = isOver(job) ? [job.title, state] : [state, job.title];
    const item = new TreeItem(label, job.workers === undefined ? None : Expanded);
    item.id = job.id;
    item.description = description;
    item.tooltip = createTooltip(job);
    item.iconPath = icons[job.state];
    item.contextValue = contextValueFor(job);
    item.accessibilityInformation = { label: describeJob(job, this.#jobs) };
    item.command = { command: commandIds.showJob, title: job.title, arguments: [job] };
    return item;
  }
}

function workerItem({ id, worker }: WorkerRow): TreeItem {
  const { name, isBusy } = worker;
  const state = isBusy ? l10n.t('working') : l10n.t('waiting');
  const item = new TreeItem(name);
  item.id = id;
  item.description = describeWorker(worker);
  item.iconPath = new ThemeIcon(isBusy ? 'server-process' : 'circle-outline');
  item.tooltip = l10n.t('{0}: {1}', name, state);
  item.contextValue = 'worker';
  item.accessibilityInformation = { label: `${name}, ${describeWorker(worker)}, ${state}` };
  return item;
}

/** Words that menus test. */
function contextValueFor(job: JobRecord): string {
  return [
    job.state,
    ...(isOver(job) ? ['over'] : ['active']),
    ...(isResumable(job) ? ['resumable'] : []),
  ].join(' ');
}

function createTooltip(job: JobRecord): MarkdownString {
  const { title, model, expected, progress, result, message, saved, outputs, warnings } = job;
  const tooltip = new MarkdownString('', true);
  const paragraphs = [
    title,
    model,
    expected === undefined
      ? undefined
      : l10n.t('This takes about {0} on this machine.', formatEstimate(expected)),
    progress === undefined ? undefined : describeStage(progress),
    result ?? message,
    saved,
    ...outputs,
    ...warnings,
  ];
  for (const text of paragraphs.filter((part) => part !== undefined)) {
    tooltip.appendText(text).appendMarkdown('\n\n');
  }
  return tooltip;
}
