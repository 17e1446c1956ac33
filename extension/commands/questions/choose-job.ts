import { window, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { JobRecord } from '../../services/jobs/job-record';
import { describeState } from '../../services/jobs/job-texts';
import type { Services } from '../../services/services';
import { choose } from './ask';

/** Texts of the question if no job is named. */
interface JobQuestion {
  readonly title: string;
  /** Message if there is no job to choose. */
  readonly none: string;
  /** True if a single job is chosen without a question. */
  readonly takesSingle?: boolean;
}

/** The job that a panel or a tree item names, else one that the user picks among some. */
export async function chooseJob(
  { jobs }: Services,
  argument: unknown,
  among: readonly JobRecord[],
  { title, none, takesSingle = false }: JobQuestion,
): Promise<JobRecord | undefined> {
  const id = clickedJob(argument);
  if (id !== undefined) {
    return among.find((job) => job.id === id);
  }
  if (among.length === 0) {
    void window.showInformationMessage(none);
    return undefined;
  }
  if (takesSingle && among.length === 1) {
    return among[0];
  }
  const items = among.map((job): QuickPickItem & { job: JobRecord } => ({
    label: job.title,
    description: describeState(job, jobs),
    detail: workspace.asRelativePath(job.model),
    job,
  }));
  return (await choose(items, { title, matchOnDetail: true }))?.job;
}

/** The Jobs view passes a job, panels pass its id. */
function clickedJob(argument: unknown): string | undefined {
  const id: unknown =
    typeof argument === 'object' && argument !== null ? Reflect.get(argument, 'id') : argument;
  return typeof id === 'string' ? id : undefined;
}
