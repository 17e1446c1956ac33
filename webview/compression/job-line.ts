import type { CompressionJob } from '../../extension/protocol/compression';
import { createButton } from '../components/toolkit';
import { createProgressLine } from '../progress-line';
import type { PanelActions, PanelPart } from './panel-part';
import { strings } from './strings';

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
  let last: CompressionJob = { kind: 'idle' };
  const show = (job: CompressionJob) => {
    switch (job.kind) {
      case 'idle':
        line.hide();
        break;
      case 'running':
        line.run(job.progress, strings.jobProgress(job.what), strings.starting(job.what));
        break;
      case 'stopped': {
        const kept = job.resumable ? strings.kept : '';
        const cancelled = job.reason === 'cancelled';
        const detail = cancelled ? kept : `${job.message} ${kept}`.trim();
        line.stop(strings.stopped(job.what, job.reason), detail, !cancelled);
      }
    }
  };
  return {
    element: line.element,
    update: ({ state: { job } }) => {
      show(job);
      if (job.kind !== last.kind) {
        if (job.kind === 'running') announce(strings.starting(job.what));
        else if (job.kind === 'stopped') announce(strings.stopped(job.what, job.reason));
        else if (last.kind === 'running') announce(strings.finished(last.what));
      }
      last = job;
    },
  };
}
