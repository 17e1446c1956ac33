import type { PanelJob } from '../../extension/protocol/heatmap';
import { createButton } from '../components/toolkit';
import { createProgressLine } from '../progress-line';
import { strings } from '../strings';
import type { PanelActions, PanelPart } from './panel-part';

/** What runs, how far it is and how long it takes; or how the last job ended. */
export function createJobLine({ send, announce }: PanelActions): PanelPart {
  const showLog = createButton(strings.showLog, false, () => {
    send({ type: 'showLog' });
  });
  const line = createProgressLine(
    strings.job,
    () => {
      send({ type: 'cancel' });
    },
    [showLog.element],
  );
  let last: PanelJob = { kind: 'idle' };
  const show = (job: PanelJob) => {
    switch (job.kind) {
      case 'idle':
        line.hide();
        break;
      case 'running':
        line.run(job.progress, strings.jobProgress(job.what), strings.starting(job.what));
        break;
      case 'stopped': {
        const kept = job.resumable ? strings.stoppedResumable : '';
        const cancelled = job.reason === 'cancelled';
        const detail = cancelled ? kept : `${job.message} ${kept}`.trim();
        line.stop(stoppedText(job), detail, !cancelled);
      }
    }
  };
  return {
    element: line.element,
    update: ({ state: { job } }) => {
      show(job);
      const news = newsOf(last, job);
      if (news !== undefined) announce(news);
      last = job;
    },
  };
}

function stoppedText(job: Extract<PanelJob, { kind: 'stopped' }>): string {
  switch (job.reason) {
    case 'cancelled':
      return strings.stoppedCancelled(job.what);
    case 'failed':
      return strings.stoppedFailed(job.what);
    case 'crashed':
      return strings.stoppedCrashed(job.what);
  }
}

/** What a screen reader should hear of a change of the job. */
function newsOf(before: PanelJob, now: PanelJob): string | undefined {
  if (before.kind === now.kind) return undefined;
  if (now.kind === 'running') return strings.starting(now.what);
  if (now.kind === 'stopped') return stoppedText(now);
  return before.kind === 'running' ? strings.finished(before.what) : undefined;
}
