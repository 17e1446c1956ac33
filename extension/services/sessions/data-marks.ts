import type { Memento } from 'vscode';
import type { NewLabel } from '../../core/datadiet/subsets/selection-document';

/** Marked and relabeled examples, and their dataset. */
export interface StoredMarks {
  /** Fingerprint of the dataset, or another identifier. */
  readonly identity: string;
  readonly indices: readonly number[];
  /** New labels of examples. */
  readonly relabeled?: readonly NewLabel[];
}

/**
 * Marked examples of scores, saved in the workspace's state. Nothing is written next to the data.
 */
export class DataMarks {
  readonly #memento: Memento;

  public constructor(memento: Memento) {
    this.#memento = memento;
  }

  /** @param scores path of the file of scores */
  public get(scores: string): StoredMarks | undefined {
    return this.#memento.get<StoredMarks>(storageKey(scores));
  }

  public async set(scores: string, marks: StoredMarks): Promise<void> {
    await this.#memento.update(storageKey(scores), isEmpty(marks) ? undefined : marks);
  }
}

const isEmpty = ({ indices, relabeled = [] }: StoredMarks): boolean =>
  indices.length === 0 && relabeled.length === 0;

const storageKey = (scores: string): string => `marks:${scores}`;
