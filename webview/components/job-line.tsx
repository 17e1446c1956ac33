import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JobProgress, PanelJob } from '../../extension/protocol/jobs';
import {
  describeQueued,
  describeShare,
  progressShare,
} from '../../extension/core/describe-progress';
import { formatBytes, formatCount } from '../format';
import { strings } from '../strings';
import { t } from '../translate';
import { Button } from './controls';
import { Icon } from './icons';

type Stopped = Extract<PanelJob, { kind: 'stopped' }>;

/** Names of a panel's jobs. */
export interface JobWords {
  readonly jobProgress: (name: string) => string;
  readonly starting: (name: string) => string;
  readonly finished?: (name: string) => string;
  readonly stopped: (name: string, reason: Stopped['reason']) => string;
}

interface JobLineProps {
  readonly name: string;
  readonly job: PanelJob;
  readonly words: JobWords;
  readonly onCancel: () => void;
  /** Absent where a button of its own resumes the job. */
  readonly onResume?: (() => void) | undefined;
  /** Reason why the job cannot be resumed now, if any. */
  readonly blocked?: string | undefined;
  readonly primaryResume?: boolean;
  readonly onShowLog?: () => void;
  readonly announce: (text: string) => void;
}

/** Progress and time of the running job, or the result of the last one, with a button to resume. */
export function JobLine(props: JobLineProps): VNode | null {
  const { name, job, words, announce, onResume, onShowLog } = props;
  const last = useRef<PanelJob>({ kind: 'idle' });
  useEffect(() => {
    const news = announcement(last.current, job, words);
    last.current = job;
    if (news !== undefined) announce(news);
  }, [job, words, announce]);
  if (job.kind === 'idle') return null;
  if (job.kind !== 'stopped') {
    const [progress, starting] =
      job.kind === 'queued'
        ? [undefined, describeQueued(job.position, t)]
        : [job.progress, words.starting(job.name)];
    return (
      <ProgressLine
        // Another job is not cancelled yet.
        key={job.id}
        name={name}
        label={words.jobProgress(job.name)}
        progress={progress}
        starting={starting}
        onCancel={props.onCancel}
      />
    );
  }
  const isFault = job.reason === 'failed' || job.reason === 'crashed';
  return (
    <section class="job" aria-label={name}>
      <div class="job-text">
        {isFault && <Icon name="warning" />}
        <p>
          <strong>{words.stopped(job.name, job.reason)}</strong>{' '}
          <span class="muted">{`${job.message} ${job.saved ?? ''}`.trim()}</span>
        </p>
        {onResume !== undefined && job.saved !== undefined && (
          <Button
            label={strings.resume}
            title={strings.resumeTitle}
            primary={props.primaryResume}
            reason={props.blocked}
            onClick={() => {
              onResume();
            }}
          />
        )}
        {onShowLog !== undefined && <Button label={strings.showLog} onClick={onShowLog} />}
      </div>
    </section>
  );
}

/** Announcement of a job's new state, for screen readers. */
function announcement(last: PanelJob, job: PanelJob, words: JobWords): string | undefined {
  if (job.kind === last.kind) return undefined;
  switch (job.kind) {
    case 'queued':
      return describeQueued(job.position, t);
    case 'running':
      return words.starting(job.name);
    case 'stopped':
      return words.stopped(job.name, job.reason);
    case 'idle':
      return last.kind === 'running' ? words.finished?.(last.name) : undefined;
  }
}

interface ProgressLineProps {
  readonly name: string;
  /** Accessible name of the progress bar. */
  readonly label: string;
  readonly progress: JobProgress | undefined;
  /** Text until a stage is known. */
  readonly starting: string;
  readonly onCancel: () => void;
}

/** Name and progress of the running job. */
function ProgressLine(props: ProgressLineProps): VNode {
  const { name, label, progress, starting, onCancel } = props;
  const [isCancelled, setCancelled] = useState(false);
  const stage = isCancelled ? strings.cancelling : (progress?.stage ?? starting);
  const detail = progress === undefined ? '' : progressText(progress);
  const fraction = progress && progressShare(progress);
  return (
    <section class="job" aria-label={name}>
      <div class="job-text">
        <p>
          <strong>{stage}</strong> <span class="muted">{detail}</span>
        </p>
        <Button
          label={strings.cancel}
          title={strings.cancel}
          reason={isCancelled ? strings.cancelling : undefined}
          onClick={() => {
            setCancelled(true);
            onCancel();
          }}
        />
      </div>
      <div
        class={fraction === undefined ? 'track indeterminate' : 'track'}
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={fraction === undefined ? undefined : Math.round(fraction * 100)}
        aria-valuetext={`${stage}, ${detail}`}
      >
        <div
          class="bar"
          style={{ transform: fraction === undefined ? '' : `scaleX(${fraction})` }}
        />
      </div>
    </section>
  );
}

/** `12 of 40 sequences · 30 % · about 4 min left` */
function progressText(progress: JobProgress): string {
  const { done, total, unit } = progress;
  const count =
    unit === 'bytes'
      ? strings.progressCount(formatBytes(done), formatBytes(total), '').trim()
      : // One of one says no more than the stage does.
        total > 1
        ? strings.progressCount(formatCount(done), formatCount(total), unit)
        : undefined;
  return [count, describeShare(progress, t)].filter((part) => part !== undefined).join(' · ');
}
