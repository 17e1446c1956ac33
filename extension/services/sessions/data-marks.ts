import type { Memento } from 'vscode';
import type { NewLabel } from '../../core/datadiet/subsets/selection-document';

/** Marked and relabeled examples, and the data set that they are of. */
export interface StoredMarks {
  /** Fingerprint of the data set, or what else tells it from another. */
  readonly identity: string;
  readonly indices: readonly number[];
  /** New labels of examples. */
  readonly relabeled?: readonly NewLabel[];
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
    await this.#memento.update(keyOf(scores), isEmpty(marks) ? undefined : marks);
  }
}

const isEmpty = ({ indices, relabeled = [] }: StoredMarks): boolean =>
  indices.length === 0 && relabeled.length === 0;

const keyOf = (scores: string): string => `marks:${scores}`;
