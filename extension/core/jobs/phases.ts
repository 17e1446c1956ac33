import type { JobContext, StageProgress } from './job';

/** Phase of a job, with its expected duration in seconds on an average machine. */
export interface Phase {
  readonly seconds: number;
  /** Maximum duration on any machine. */
  readonly limit?: number;
}

/** Number of steps of the progress bar. */
const total = 1000;
/** Minimum share of the job, and minimum seconds, before a time estimate is reported. */
const minShare = 0.03;
const minSeconds = 3;
/** Work done this many times faster than expected was saved by an earlier run of the job. */
const savedSpeedup = 10;

/** Combines the phases of a job into one progress bar and one time estimate. The bar never moves backwards. */
export class Phases<Name extends string> {
  readonly #phases: Readonly<Record<Name, Phase>>;
  readonly #report: JobContext['progress'];
  readonly #now: () => number;
  readonly #started: number;
  /** Expected seconds of the finished phases. */
  #expectedBefore = 0;
  /** Expected seconds of work that an earlier run of the job saved: they say nothing of the pace of this run. */
  #saved = 0;
  #shown = 0;
  readonly #over = new Set<Name>();

  /** @param phases in the order in which they run */
  public constructor(
    phases: Readonly<Record<Name, Phase>>,
    report: JobContext['progress'],
    now: () => number = () => performance.now() / 1000,
  ) {
    this.#phases = phases;
    this.#report = report;
    this.#now = now;
    this.#started = now();
  }

  /** Runs a phase with a context whose progress advances the bar of the whole job. */
  public async run<Event, T>(
    name: Name,
    context: JobContext<Event>,
    work: (context: JobContext<Event>) => Promise<T>,
  ): Promise<T> {
    const begun = this.#now();
    const { seconds } = this.#phases[name];
    let isFirst = true;
    const countSaved = (share: number): void => {
      const isSaved = this.#now() - begun < (share * seconds) / savedSpeedup;
      this.#saved += isFirst && isSaved ? share * seconds : 0;
      isFirst = false;
    };
    const result = await work({
      ...context,
      progress: (progress) => {
        countSaved(doneShare(progress));
        this.#show(name, begun, progress);
      },
    });
    countSaved(1);
    this.#finish(name);
    return result;
  }

  /** Counts a phase as done by an earlier run of the job. */
  public skip(name: Name): void {
    if (!this.#over.has(name)) {
      this.#saved += this.#phases[name].seconds;
      this.#finish(name);
    }
  }

  #finish(name: Name): void {
    this.#over.add(name);
    this.#expectedBefore += this.#phases[name].seconds;
  }

  #show(name: Name, begun: number, progress: StageProgress): void {
    const { stage, secondsLeft } = progress;
    const { seconds, limit = Number.POSITIVE_INFINITY } = this.#phases[name];
    // A limited phase is over when its time is, however much of it is done.
    const byTime = (this.#now() - begun) / limit;
    const share = Math.min(1, Math.max(byTime, doneShare(progress)));
    const expected = Object.values<Phase>(this.#phases).reduce((sum, one) => sum + one.seconds, 0);
    const passed = this.#expectedBefore + share * seconds;
    this.#shown = Math.max(this.#shown, Math.round((total * passed) / expected));
    const elapsed = this.#now() - this.#started;
    const worked = passed - this.#saved;
    const pace = elapsed / worked;
    const later = pace * (expected - this.#expectedBefore - seconds);
    const own = Math.min(
      secondsLeft ?? pace * (1 - share) * seconds,
      Math.max(0, limit - (this.#now() - begun)),
    );
    const isKnown = worked >= minShare * expected && elapsed >= minSeconds;
    const isResumed = this.#saved >= minShare * expected;
    this.#report({
      stage,
      ...{ done: this.#shown, total, unit: 'steps' },
      secondsLeft: isKnown ? own + later : undefined,
      moreFollows: !isKnown && !isResumed,
    });
  }
}

const doneShare = ({ done, total: all }: StageProgress): number =>
  all > 0 ? Math.min(1, done / all) : 0;
