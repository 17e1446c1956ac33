import type { PanelJob } from '../extension/protocol/jobs';
import { createButton } from './components/toolkit';
import { createProgressLine } from './progress-line';
import { strings } from './strings';

type StopReason = Extract<PanelJob<string>, { kind: 'stopped' }>['reason'];

/** What the jobs of a panel are called. */
export interface JobWords<What extends string> {
  readonly jobProgress: (what: What) => string;
  readonly starting: (what: What) => string;
  readonly finished: (what: What) => string;
  readonly stopped: (what: What, reason: StopReason) => string;
}

interface JobLine<What extends string> {
  readonly element: HTMLElement;
  update(frame: { readonly state: { readonly job: PanelJob<What> } }): void;
}

interface JobActions {
  readonly send: (message: { readonly type: 'cancel' | 'showLog' | 'resume' }) => void;
  /** Says something to screen readers. */
  readonly announce: (text: string) => void;
}

/**
 * What runs, how far it is and how long it takes; or how the last job ended, with a button to go on.
 * @param main the job that a button of its own starts and resumes
 */
export function createJobLine<What extends string>(
  words: JobWords<What>,
  main: NoInfer<What>,
  { send, announce }: JobActions,
): JobLine<What> {
  const resume = createButton(strings.resume, false, () => {
    send({ type: 'resume' });
  });
  resume.setState(undefined, strings.resumeTitle);
  const showLog = createButton(strings.showLog, false, () => {
    send({ type: 'showLog' });
  });
  const line = createProgressLine(
    strings.job,
    () => {
      send({ type: 'cancel' });
    },
    [resume.element, showLog.element],
  );
  let last: PanelJob<What> = { kind: 'idle' };
  const show = (job: PanelJob<What>) => {
    switch (job.kind) {
      case 'idle':
        line.hide();
        break;
      case 'queued':
        line.run(undefined, words.jobProgress(job.what), strings.queued(job.place));
        break;
      case 'running':
        line.run(job.progress, words.jobProgress(job.what), words.starting(job.what));
        break;
      case 'stopped':
        line.stop(words.stopped(job.what, job.reason), stopDetail(job), isFault(job.reason));
        resume.element.hidden = job.saved === undefined || job.what === main;
    }
  };
  return {
    element: line.element,
    update: ({ state: { job } }) => {
      show(job);
      if (job.kind !== last.kind) {
        if (job.kind === 'queued') announce(strings.queued(job.place));
        else if (job.kind === 'running') announce(words.starting(job.what));
        else if (job.kind === 'stopped') announce(words.stopped(job.what, job.reason));
        else if (last.kind === 'running') announce(words.finished(last.what));
      }
      last = job;
    },
  };
}

/** Why a job has stopped, and what Resume does not do again. */
const stopDetail = ({
  message,
  saved = '',
}: Pick<Extract<PanelJob<string>, { kind: 'stopped' }>, 'message' | 'saved'>): string =>
  `${message} ${saved}`.trim();

const isFault = (reason: StopReason): boolean => reason === 'failed' || reason === 'crashed';
