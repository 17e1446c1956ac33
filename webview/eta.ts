import type { PanelJob } from '../extension/protocol/heatmap';

export type Progress = NonNullable<Extract<PanelJob, { kind: 'running' }>['progress']>;

interface Sample {
  readonly time: number;
  readonly done: number;
}

/** Samples older than this no longer tell the speed. */
const WINDOW_MILLISECONDS = 20_000;
/** An estimate from less than this is noise. */
const LEAST_MILLISECONDS = 2_000;

/** Estimates when a stage ends from its recent speed; a new stage, or a step back, starts afresh. */
export class TimeLeft {
  private stage: string | undefined;
  private samples: Sample[] = [];

  /** Seconds left at `time` (milliseconds), or undefined while that cannot be told. */
  public update(progress: Progress | undefined, time: number): number | undefined {
    if (progress === undefined) {
      this.stage = undefined;
      this.samples = [];
      return undefined;
    }
    const last = this.samples.at(-1);
    if (progress.stage !== this.stage || (last !== undefined && progress.done < last.done)) {
      this.stage = progress.stage;
      this.samples = [];
    }
    this.samples.push({ time, done: progress.done });
    while (
      this.samples.length > 2 &&
      time - (this.samples[0]?.time ?? time) > WINDOW_MILLISECONDS
    ) {
      this.samples.shift();
    }
    const first = this.samples[0];
    if (first === undefined || time - first.time < LEAST_MILLISECONDS) return undefined;
    const perMillisecond = (progress.done - first.done) / (time - first.time);
    if (perMillisecond <= 0) return undefined;
    return Math.max(0, progress.total - progress.done) / perMillisecond / 1000;
  }
}
