import type { JobEvent } from '../../protocol/worker';
import type { StoredJob } from './job-record';

type Counted = StoredJob['counted'];

/** Counts what is measured as a whole. A journal tells again what it holds, which is counted once. */
export class Counter {
  readonly #measured = new Set<string>();
  #total = 0;

  /** @param before what was counted when the job ran before */
  public event(event: JobEvent, before: Counted): Counted {
    if (event.kind === 'started') {
      this.#total = event.candidates.length;
    } else if (event.kind === 'candidate' && event.round === 1) {
      this.#measured.add(event.distance.sublayer);
    } else {
      return before;
    }
    return this.#total === 0
      ? before
      : { done: Math.max(this.#measured.size, before?.done ?? 0), total: this.#total };
  }
}
