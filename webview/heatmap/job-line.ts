import type { PanelJob } from '../../extension/protocol/heatmap';
import { createButton } from '../components/toolkit';
import { h, setAttribute, setText } from '../dom';
import { formatBytes, formatCount, formatDuration, formatPercent } from '../format';
import { warningIcon } from '../icons';
import { strings } from '../strings';
import type { Progress } from './eta';
import { TimeLeft } from './eta';
import type { PanelActions, PanelPart } from './panel-part';

/** What runs, how far it is and how long it takes; or how the last job ended. */
export function createJobLine({ send, announce }: PanelActions): PanelPart {
  const timeLeft = new TimeLeft();
  const warning = warningIcon();
  const stage = h('strong');
  const detail = h('span', { class: 'muted' });
  const bar = h('div', { class: 'bar' });
  const track = h('div', { class: 'track', role: 'progressbar', 'aria-valuemin': 0 }, bar);
  const cancel = createButton(strings.cancel, false, () => {
    send({ type: 'cancel' });
  });
  const showLog = createButton(strings.showLog, false, () => {
    send({ type: 'showLog' });
  });
  const element = h(
    'section',
    { class: 'job', 'aria-label': strings.job, hidden: true },
    h(
      'div',
      { class: 'job-text' },
      warning,
      h('p', {}, stage, ' ', detail),
      cancel.element,
      showLog.element,
    ),
    track,
  );
  let last: PanelJob = { kind: 'idle' };

  const showRunning = (job: Extract<PanelJob, { kind: 'running' }>) => {
    const { progress } = job;
    const seconds = timeLeft.update(progress, performance.now());
    setText(stage, progress?.stage ?? strings.starting(job.what));
    setText(detail, progress === undefined ? '' : progressText(progress, seconds));
    const fraction = fractionOf(progress);
    setAttribute(track, 'aria-label', strings.jobProgress(job.what));
    setAttribute(track, 'aria-valuemax', 100);
    setAttribute(track, 'aria-valuenow', fraction && Math.round(fraction * 100));
    setAttribute(track, 'aria-valuetext', `${stage.textContent}, ${detail.textContent}`);
    track.classList.toggle('indeterminate', fraction === undefined);
    bar.style.transform = fraction === undefined ? '' : `scaleX(${fraction})`;
  };

  return {
    element,
    update: ({ state: { job } }) => {
      const running = job.kind === 'running';
      element.hidden = job.kind === 'idle';
      element.dataset['kind'] = job.kind;
      track.hidden = !running;
      setAttribute(warning, 'hidden', job.kind !== 'stopped' || job.reason === 'cancelled');
      cancel.element.hidden = !running;
      showLog.element.hidden = job.kind !== 'stopped';
      if (running) showRunning(job);
      else timeLeft.update(undefined, 0);
      if (job.kind === 'stopped') {
        setText(stage, stoppedText(job));
        const kept = job.resumable ? ` ${strings.stoppedResumable}` : '';
        setText(detail, job.reason === 'cancelled' ? kept.trim() : `${job.message}${kept}`);
      }
      const news = newsOf(last, job);
      if (news !== undefined) announce(news);
      last = job;
    },
  };
}

function fractionOf(progress: Progress | undefined): number | undefined {
  if (progress === undefined || progress.total <= 0) return undefined;
  return Math.min(1, progress.done / progress.total);
}

function progressText(progress: Progress, seconds: number | undefined): string {
  const { done, total, unit } = progress;
  const parts =
    unit === 'bytes'
      ? [strings.progressCount(formatBytes(done), formatBytes(total), '').trim()]
      : [strings.progressCount(formatCount(done), formatCount(total), unit)];
  const fraction = fractionOf(progress);
  if (fraction !== undefined) parts.push(formatPercent(fraction));
  if (seconds !== undefined) parts.push(strings.timeLeft(formatDuration(seconds)));
  return parts.join(' · ');
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
