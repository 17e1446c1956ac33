import type { Memento } from 'vscode';

/** Marked examples, and the data set that they are of. */
export interface StoredMarks {
  /** Fingerprint of the data set, or what else tells it from another. */
  readonly identity: string;
  readonly indices: readonly number[];
}

/** Marked examples of scores, which the workspace remembers: nothing is written beside the data. */
export class DataMarks {
  readonly #memento: Memento;

  public constructor(memento: Memento) {
    this.#memento = memento;
  }

  /** @param scores path of the file of scores */
  public get(scores: string): StoredMarks | undefined {
    return this.#memento.get<StoredMarks>(keyOf(scores));
  }

  public async set(scores: string, marks: StoredMarks): Promise<void> {
    await this.#memento.update(keyOf(scores), marks.indices.length === 0 ? undefined : marks);
  }
}

const keyOf = (scores: string): string => `marks:${scores}`;
