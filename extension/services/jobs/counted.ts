import type { ProfileEvent } from '../../core/prune/layer-profile';
import type { StoredJob } from './job-record';

type Counted = StoredJob['counted'];

/** Counts the sublayers that a search has measured alone. A journal tells again what it holds, which is counted once. */
export class Counter {
  readonly #measured = new Set<string>();
  #total = 0;

  /** @param before what was counted when the job ran before */
  public event(event: ProfileEvent, before: Counted): Counted {
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
