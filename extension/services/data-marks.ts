import type { Memento } from 'vscode';

/** Marked examples of scores, which the workspace remembers: nothing is written beside the data. */
export class DataMarks {
  readonly #memento: Memento;

  public constructor(memento: Memento) {
    this.#memento = memento;
  }

  /** @param scores path of the file of scores */
  public get(scores: string): readonly number[] {
    const stored = this.#memento.get<unknown>(keyOf(scores));
    return Array.isArray(stored)
      ? stored.filter((index): index is number => Number.isInteger(index))
      : [];
  }

  public async set(scores: string, marks: readonly number[]): Promise<void> {
    await this.#memento.update(keyOf(scores), marks.length === 0 ? undefined : marks);
  }
}

const keyOf = (scores: string): string => `marks:${scores}`;
