import type { StageProgress } from './job';
import { inEnglish, verbatim } from '../message';
import type { Message } from '../message';

interface Sample {
  readonly time: number;
  readonly done: number;
}

/** Maximum age of the samples that determine the current rate, in milliseconds. */
const windowMilliseconds = 20_000;
/** Minimum span of samples for an estimate; shorter spans are noise. */
const minMilliseconds = 2_000;
/** Minimum share of the work before an early estimate: the start of a long job is not representative. */
const minShare = 0.05;
const enoughMilliseconds = 10_000;
/** Progress reported this soon was replayed from a journal and doesn't count as work. */
const replayMilliseconds = 1_000;

/** Estimates the time left from recent progress. A new stage, or progress that moves backwards, resets
 * the estimate. */
export class TimeLeft {
  #stage: string | undefined;
  #since = 0;
  #samples: Sample[] = [];
  /** End time from an estimate made before the job started. */
  #expectedEnd: number | undefined;

  /** Returns the seconds left at `time` (milliseconds), or undefined if there is no estimate yet. */
  public update(progress: StageProgress, time: number): number | undefined {
    if (progress.secondsLeft !== undefined) {
      this.#expectedEnd = time + 1000 * progress.secondsLeft;
      return progress.secondsLeft;
    }
    const { moreFollows = false, isWarmingUp = false } = progress;
    const measured = moreFollows || isWarmingUp ? undefined : this.#measure(progress, time);
    if (measured !== undefined || this.#expectedEnd === undefined) {
      this.#expectedEnd = undefined;
      return measured;
    }
    return this.#expectedEnd > time ? (this.#expectedEnd - time) / 1000 : undefined;
  }

  #measure({ stage, done, total }: StageProgress, time: number): number | undefined {
    const last = this.#samples.at(-1);
    const name = stageName(stage);
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
    const isLittle = done - first.done < minShare * total;
    if (time - first.time < minMilliseconds || (isShort && isLittle)) {
      return undefined;
    }
    const perMillisecond = (done - first.done) / (time - first.time);
    return perMillisecond > 0 && done < total ? (total - done) / perMillisecond / 1000 : undefined;
  }
}

/** Name of a stage without its parameters: rounds of a search are one stage. */
const stageName = (stage: Message): string =>
  stage.code === verbatim('').code ? inEnglish(stage) : stage.code;

/** Minimum duration of a job, in seconds, for which an estimate is reported. */
const minSeconds = 20;

/** Reports the estimated duration of a job once, as soon as it is known. */
export class Estimate {
  readonly #say: (seconds: number) => void;
  #isSaid = false;

  public constructor(say: (seconds: number) => void) {
    this.#say = say;
  }

  /** @param secondsLeft from {@link TimeLeft} */
  public update(secondsLeft: number | undefined): void {
    // A short first stage is not representative of later stages.
    if (!this.#isSaid && secondsLeft !== undefined && secondsLeft >= minSeconds) {
      this.#isSaid = true;
      this.#say(secondsLeft);
    }
  }
}

/** Estimates the remaining time of parts with known relative costs from the times of the finished parts. */
export class RemainingParts {
  readonly #costs: Map<string, number>;
  readonly #started = performance.now();
  #done = 0;
  #end: number | undefined;

  /**
   * Starts the clock.
   * @param costs relative cost of each part, by name
   */
  public constructor(costs: ReadonlyMap<string, number>) {
    this.#costs = new Map(costs);
  }

  public finish(part: string): void {
    this.#done += this.#costs.get(part) ?? 0;
    this.#costs.delete(part);
    const left = [...this.#costs.values()].reduce((sum, cost) => sum + cost, 0);
    const now = performance.now();
    this.#end = now + ((now - this.#started) * left) / this.#done;
  }

  /** Undefined before the first part is finished and after the estimated end has passed. */
  public get secondsLeft(): number | undefined {
    const now = performance.now();
    return this.#end === undefined || this.#end <= now ? undefined : (this.#end - now) / 1000;
  }
}
