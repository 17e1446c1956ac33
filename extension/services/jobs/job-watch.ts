import type { CancellationToken } from 'vscode-jsonrpc/node';
import { formatEstimate } from '../../core/format';
import type { StageProgress } from '../../core/jobs/job';
import { Estimate, TimeLeft } from '../../core/jobs/time-left';
import { render } from '../../core/message';
import type { JobEvent } from '../../protocol/worker';
import type { RequestWatch } from '../worker/worker-process';
import type { JobEnvironment } from './job-environment';
import type { JobFollower } from './job-follower';
import { asRecord } from './job-record';
import type { StoredJob } from './job-record';
import type { Operation } from './operations';
import { getOperation } from './operations';

/** Effects of a running job on other parts of the host. */
interface JobHooks {
  /** A line for its log. */
  readonly note: (text: string) => void;
  /** @param atOnce whether the change is stored now, or soon */
  readonly tell: (atOnce: boolean) => void;
  readonly followers: readonly JobFollower<Operation>[];
}

/** Writes into a job what the worker tells while it runs. */
export function watchJob(
  job: StoredJob,
  token: CancellationToken,
  { translate, describeError, log }: JobEnvironment,
  { note, tell, followers }: JobHooks,
): RequestWatch {
  const timeLeft = new TimeLeft();
  const estimate = new Estimate((seconds) => {
    note(translate('This takes about {0} on this machine.', formatEstimate(seconds)));
  });
  const { saved } = getOperation(job.operation);
  const count = saved?.counter?.();
  return {
    token,
    onProgress: (progress: StageProgress) => {
      const stage = render(progress.stage, translate);
      if (job.progress?.stage !== stage) note(stage);
      const secondsLeft = timeLeft.update(progress, performance.now());
      estimate.update(secondsLeft);
      job.progress = { ...progress, stage };
      if (secondsLeft !== undefined) job.progress.secondsLeft = secondsLeft;
      // Preparation counts other units than the job itself.
      if (saved !== undefined && count === undefined && progress.moreFollows !== true) {
        job.counted = { done: progress.done, total: progress.total };
      }
      tell(false);
    },
    onWarning: (warning) => {
      const line = describeError(warning);
      log.warn(line);
      if (!job.warnings.includes(line)) {
        job.warnings.push(line);
        note(line);
        tell(true);
      }
    },
    onInformation: (information) => {
      const line = render(information, translate);
      log.info(line);
      note(line);
    },
    onWorkers: (workers) => {
      job.workers = workers.map((one) => ({ ...one, name: render(one.name, translate) }));
      tell(false);
    },
    onEvent: (event: JobEvent) => {
      const counted = count?.(event);
      if (counted !== undefined) {
        // A resumed run repeats what was counted before.
        job.counted = { ...counted, done: Math.max(counted.done, job.counted?.done ?? 0) };
      }
      const record = asRecord(job);
      for (const follower of followers) {
        // A worker sends a job only the events of its own operation.
        follower.event?.(event, record);
      }
    },
  };
}
