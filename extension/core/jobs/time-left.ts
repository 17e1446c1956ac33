import type { StageProgress } from './job';
import { inEnglish } from '../message';

interface Sample {
  readonly time: number;
  readonly done: number;
}

/** Samples older than this no longer tell the speed. */
const windowMilliseconds = 20_000;
/** An estimate from less than this is noise. */
const leastMilliseconds = 2_000;
/** What is measured sooner must be this share of the work: where much is left, its start is no guide. */
const leastShare = 0.05;
const enoughMilliseconds = 10_000;
/** What a journal remembers is counted at once, and is no work. */
const replayMilliseconds = 1_000;

/** Estimates when a job ends from the work counted lately; a new stage, or a step back, starts afresh. */
export class TimeLeft {
  #stage: string | undefined;
  #since = 0;
  #samples: Sample[] = [];
  /** When the job ends by what was expected before it started. */
  #expectedEnd: number | undefined;

  /** Seconds left at `time` (milliseconds), or undefined while that cannot be told. */
  public update(progress: StageProgress, time: number): number | undefined {
    if (progress.secondsLeft !== undefined) {
      this.#expectedEnd = time + 1000 * progress.secondsLeft;
      return progress.secondsLeft;
    }
    const measured = progress.moreFollows === true ? undefined : this.#measure(progress, time);
    if (measured !== undefined || this.#expectedEnd === undefined) {
      this.#expectedEnd = undefined;
      return measured;
    }
    return this.#expectedEnd > time ? (this.#expectedEnd - time) / 1000 : undefined;
  }

  #measure({ stage, done, total }: StageProgress, time: number): number | undefined {
    const last = this.#samples.at(-1);
    const name = inEnglish(stage);
    if (name !== this.#stage || (last !== undefined && done < last.done)) {
      this.#stage = name;
      this.#since = time;
      this.#samples = [];
    }
    if (time - this.#since < replayMilliseconds) {
      this.#samples = [];
    }
    this.#samples.push({ time, done });
    while (
      this.#samples.length > 2 &&
      time - (this.#samples[0]?.time ?? time) > windowMilliseconds
    ) {
      this.#samples.shift();
    }
    const first = this.#samples[0];
    if (first === undefined) return undefined;
    const isShort = time - first.time < enoughMilliseconds;
    const isLittle = done - first.done < leastShare * total;
    if (time - first.time < leastMilliseconds || (isShort && isLittle)) {
      return undefined;
    }
    const perMillisecond = (done - first.done) / (time - first.time);
    return perMillisecond > 0 && done < total ? (total - done) / perMillisecond / 1000 : undefined;
  }
}

/** A job that is over sooner is not worth an estimate. */
const leastSeconds = 20;

/** Says once how long a job takes, from the first work that it has counted. */
export class Estimate {
  readonly #say: (seconds: number) => void;
  #isSaid = false;

  public constructor(say: (seconds: number) => void) {
    this.#say = say;
  }

  /** @param secondsLeft of {@link TimeLeft} */
  public update(secondsLeft: number | undefined): void {
    // A short stage says nothing of those that follow.
    if (!this.#isSaid && secondsLeft !== undefined && secondsLeft >= leastSeconds) {
      this.#isSaid = true;
      this.#say(secondsLeft);
    }
  }
}
