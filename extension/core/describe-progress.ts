import { formatDuration, formatPercent } from './format';
import type { Translate } from './message';

/** Position of a waiting job in the queue. */
export interface QueuePosition {
  /** Number of jobs that run before it. */
  readonly place: number;
  /** Seconds until it starts; undefined if the time of a job before it is unknown. */
  readonly startsIn?: number | undefined;
  /** Seconds that it takes; undefined if no earlier run on this machine predicts it. */
  readonly expected?: number | undefined;
}

/** `queued, 1 ahead · starts in about 2 min · takes about 30 s` */
export function describeQueued(
  { place, startsIn, expected }: QueuePosition,
  translate: Translate,
): string {
  return joined([
    translate('queued, {0} ahead', place),
    startsIn !== undefined && translate('starts in about {0}', formatDuration(startsIn)),
    expected !== undefined && translate('takes about {0}', formatDuration(expected)),
  ]);
}

/** Progress whose share and time left are shown. */
interface Progress {
  readonly done: number;
  /** 0 if unknown. */
  readonly total: number;
  readonly secondsLeft?: number | undefined;
  /** True if long stages of unknown duration follow, so that no estimate is shown. */
  readonly moreFollows?: boolean | undefined;
}

/** Share of the job that is done, from 0 to 1; undefined if it is unknown. */
export const progressShare = ({ done, total, moreFollows }: Progress): number | undefined =>
  total <= 0 || moreFollows === true ? undefined : Math.min(1, done / total);

/** `12 % · about 4 min left`; undefined if the share is unknown. */
export function describeShare(progress: Progress, translate: Translate): string | undefined {
  const share = progressShare(progress);
  if (share === undefined) {
    return undefined;
  }
  const { secondsLeft } = progress;
  return joined([
    formatPercent(share),
    secondsLeft !== undefined && translate('about {0} left', formatDuration(secondsLeft)),
  ]);
}

const joined = (parts: readonly (string | false)[]): string =>
  parts.filter((part) => part !== false).join(' · ');
