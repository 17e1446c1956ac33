import { signal } from '@preact/signals';
import type { Choice } from './draft';

/**
 * Choices of the user that the host has not applied yet: shown immediately, even with a remote host, and sent in
 * sequence.
 */
export class Choices {
  readonly #tell: (choice: Choice) => Promise<void>;
  readonly #waiting = signal<readonly Choice[]>([]);

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
      void this.#tellAll();
      return;
    }
    // Only the last position of a dragged slider counts.
    const others =
      choice.type === 'selectRounds' ? untold.filter(({ type }) => type !== choice.type) : untold;
    this.#waiting.value = [told, ...others, choice];
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
