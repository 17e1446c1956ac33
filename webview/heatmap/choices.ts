import { signal } from '@preact/signals';
import type { Choice } from './draft';

/**
 * Choices of the user that the host has not applied yet: shown immediately, even with a remote host, and sent in
 * sequence.
 */
export class Choices {
  readonly #tell: (choice: Choice) => Promise<void>;
  readonly #waiting = signal<readonly Choice[]>([]);
  /** Resolves when the host has all choices so far. */
  #told = Promise.resolve();

  /** @param tell settles once the host's state has the choice, or will never have it */
  public constructor(tell: (choice: Choice) => Promise<void>) {
    this.#tell = tell;
  }

  public get waiting(): readonly Choice[] {
    return this.#waiting.value;
  }

  public add(choice: Choice): void {
    const [told, ...untold] = this.#waiting.peek();
    if (told === undefined) {
      this.#waiting.value = [choice];
      this.#told = this.#tellAll();
      return;
    }
    // Only the last position of a dragged slider counts.
    const others =
      choice.type === 'selectRounds' ? untold.filter(({ type }) => type !== choice.type) : untold;
    this.#waiting.value = [told, ...others, choice];
  }

  /** Calls a function once the host has all choices, so that it sees the selection that the user sees. */
  public async afterAll(act: () => void): Promise<void> {
    await this.#told;
    act();
  }

  async #tellAll(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      await this.#tell(next);
      this.#waiting.value = this.#waiting.peek().slice(1);
    }
  }

  #next(): Choice | undefined {
    return this.#waiting.peek()[0];
  }
}
