import { AsyncLocalStorage } from 'node:async_hooks';

/** Thrown when the user goes back to the previous question. */
export const back = Symbol('back');

/** Ends a run, which then restarts. */
class GoneBack extends Error {}

/** Position of a question among those of its command. */
export interface Place {
  /** Counted from 1. */
  readonly step: number;
  /** Minimum number of questions, including this one. */
  readonly total: number;
}

interface Entry {
  readonly isQuestion: boolean;
  readonly answer: unknown;
}

/**
 * Questions of one command, in order. Going back restarts the command with the answers given so far, so the code before
 * its last question may run again.
 */
export class Steps {
  readonly #entries: Entry[] = [];
  /** Number of entries with a valid answer; answers after a step back are only suggested again. */
  #answered = 0;
  #next = 0;
  #following = 0;

  /** @param run asks by `question`, and is restarted after each step back */
  public async run(run: () => unknown): Promise<unknown> {
    for (;;) {
      this.#next = 0;
      try {
        return await run();
      } catch (error) {
        if (!(error instanceof GoneBack)) throw error;
      }
    }
  }

  /**
   * @param read parses an answer; undefined if it is no longer valid
   * @param ask gets what was answered before a step back, if so
   * @returns undefined if the user cancels
   */
  public async question<Answer, Meaning>(
    read: (answer: Answer) => Meaning | undefined,
    ask: (place: Place, earlier: Answer | undefined) => Promise<Answer | typeof back | undefined>,
  ): Promise<Meaning | undefined> {
    const index = this.#next++;
    const entry = this.#entries[index];
    const earlier = entry?.isQuestion === true ? (entry.answer as Answer) : undefined;
    const known = earlier === undefined || index >= this.#answered ? undefined : read(earlier);
    if (known !== undefined) {
      return known;
    }
    this.#answered = index;
    const step = this.#questions.length + 1;
    const answer = await ask({ step, total: step + this.#following }, earlier);
    if (answer === back) {
      this.goBack();
    } else if (answer !== undefined) {
      this.#keep(index, { isQuestion: true, answer });
      return read(answer);
    }
    return undefined;
  }

  /** Runs something between two questions. It isn't repeated if the user goes back to the second question. */
  public async once<T>(run: () => Promise<T>): Promise<T> {
    const index = this.#next++;
    const entry = this.#entries[index];
    if (entry?.isQuestion === false && index < this.#answered) {
      return entry.answer as T;
    }
    this.#answered = index;
    const answer = await run();
    this.#keep(index, { isQuestion: false, answer });
    return answer;
  }

  /** Asks, with at least `count` questions to follow. */
  public async followedBy<T>(count: number, ask: () => Promise<T>): Promise<T> {
    this.#following += count;
    try {
      return await ask();
    } finally {
      this.#following -= count;
    }
  }

  /** Ends the run before the last question that was answered, if there is one. */
  public goBack(): void {
    const last = this.#questions.at(-1);
    if (last !== undefined) {
      this.#answered = last;
      throw new GoneBack();
    }
  }

  /** Indices of the entries that contain an answer. */
  get #questions(): readonly number[] {
    return [...this.#entries.slice(0, this.#answered).entries()].flatMap(
      ([index, { isQuestion }]) => (isQuestion ? [index] : []),
    );
  }

  #keep(index: number, entry: Entry): void {
    // A different answer may lead to different questions.
    const isAsBefore =
      JSON.stringify(this.#entries[index]?.answer) === JSON.stringify(entry.answer);
    this.#entries.splice(index, isAsBefore ? 1 : Infinity, entry);
    this.#answered = index + 1;
  }
}

const current = new AsyncLocalStorage<Steps>();

/** Lets the user go back among the questions of a command. */
export const inSteps = async (run: () => unknown): Promise<unknown> => {
  const steps = new Steps();
  return current.run(steps, async () => steps.run(run));
};

/** Asks, with at least `count` questions to follow. */
export const followedBy = async <T>(count: number, ask: () => Promise<T>): Promise<T> =>
  steps().followedBy(count, ask);

/** The questions of the command that runs. */
export const steps = (): Steps => current.getStore() ?? new Steps();
