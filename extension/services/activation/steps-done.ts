import { commands } from 'vscode';
import type { JobService } from '../jobs/job-service';

/** Marks walkthrough steps as done when their jobs finish. */
export function tellDoneJobs({ ended }: Pick<JobService, 'ended'>): void {
  ended.listen(({ job, outcome }) => {
    if (outcome !== undefined) {
      tellDone(job.operation);
    }
  });
}

/**
 * Ticks a step of the walkthrough by a context key, when its task is done: VS Code itself would tick it when a command
 * starts to ask. The key is set for a moment: one that is set already when the walkthrough is opened never ticks
 * anything.
 */
export function tellDone(what: string): void {
  for (const value of [true, undefined]) {
    void commands.executeCommand('setContext', `espalier.done.${what}`, value);
  }
}
