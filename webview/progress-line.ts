import { createButton } from './components/toolkit';
import { h, setAttribute, setText } from './dom';
import type { JobProgress } from '../extension/protocol/jobs';
import { formatBytes, formatCount, formatDuration, formatPercent } from './format';
import { warningIcon } from './icons';
import { strings } from './strings';

/** A line that says what runs and how far it is, or how it ended. */
export interface ProgressLine {
  readonly element: HTMLElement;
  /** @param label names the progress bar; `starting` stands where no stage is known yet */
  run(progress: JobProgress | undefined, label: string, starting: string): void;
  /** @param isFault shows a sign of warning */
  stop(text: string, detail: string, isFault: boolean): void;
  hide(): void;
}

/** @param afterStop buttons that are there once the job has stopped */
export function createProgressLine(
  name: string,
  cancelJob: () => void,
  afterStop: readonly HTMLElement[] = [],
): ProgressLine {
  const warning = warningIcon();
  const stage = h('strong');
  const detail = h('span', { class: 'muted' });
  const bar = h('div', { class: 'bar' });
  const track = h('div', { class: 'track', role: 'progressbar', 'aria-valuemin': 0 }, bar);
  let isCancelled = false;
  const cancel = createButton(strings.cancel, false, () => {
    isCancelled = true;
    cancel.setState(strings.cancelling, strings.cancel);
    setText(stage, strings.cancelling);
    cancelJob();
  });
  const element = h(
    'section',
    { class: 'job', 'aria-label': name, hidden: true },
    h(
      'div',
      { class: 'job-text' },
      warning,
      h('p', {}, stage, ' ', detail),
      cancel.element,
      ...afterStop,
    ),
    track,
  );
  const show = (isRunning: boolean, isFault: boolean) => {
    element.hidden = false;
    track.hidden = !isRunning;
    cancel.element.hidden = !isRunning;
    setAttribute(warning, 'hidden', !isFault);
    for (const button of afterStop) button.hidden = isRunning;
    if (isRunning) return;
    isCancelled = false;
    cancel.setState(undefined, strings.cancel);
  };
  return {
    element,
    run: (progress, label, starting) => {
      show(true, false);
      setText(stage, isCancelled ? strings.cancelling : (progress?.stage ?? starting));
      setText(detail, progress === undefined ? '' : progressText(progress));
      const fraction = fractionOf(progress);
      setAttribute(track, 'aria-label', label);
      setAttribute(track, 'aria-valuemax', 100);
      setAttribute(track, 'aria-valuenow', fraction && Math.round(fraction * 100));
      setAttribute(track, 'aria-valuetext', `${stage.textContent}, ${detail.textContent}`);
      track.classList.toggle('indeterminate', fraction === undefined);
      bar.style.transform = fraction === undefined ? '' : `scaleX(${fraction})`;
    },
    stop: (text, more, isFault) => {
      show(false, isFault);
      setText(stage, text);
      setText(detail, more);
    },
    hide: () => {
      show(false, false);
      element.hidden = true;
    },
  };
}

function fractionOf(progress: JobProgress | undefined): number | undefined {
  if (progress === undefined || progress.total <= 0) return undefined;
  return Math.min(1, progress.done / progress.total);
}

function progressText(progress: JobProgress): string {
  const { done, total, unit, secondsLeft } = progress;
  const parts =
    unit === 'bytes'
      ? [strings.progressCount(formatBytes(done), formatBytes(total), '').trim()]
      : [strings.progressCount(formatCount(done), formatCount(total), unit)];
  const fraction = fractionOf(progress);
  if (fraction !== undefined) parts.push(formatPercent(fraction));
  if (secondsLeft !== undefined)
    parts.push(strings.timeLeft(formatDuration(Math.max(1, secondsLeft))));
  return parts.join(' · ');
}
