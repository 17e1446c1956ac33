import type { Dataset } from '../../data/datasets/dataset';
import type { Tokenizer } from '../../data/tokenizer';

/** Number of characters encoded per requested token, more than needed in practice. */
const charactersPerToken = 16;

/** Tokenized texts of datasets. Each dataset is tokenized once. */
export class TokenRows {
  private readonly read = new WeakMap<Dataset, readonly Int32Array[]>();

  public constructor(
    private readonly tokenizer: Tokenizer,
    private readonly maxTokens: number,
  ) {}

  /** Token ids of every example, at most `maxTokens` each. */
  public of(dataset: Dataset): readonly Int32Array[] {
    const rows = this.read.get(dataset) ?? this.encode(dataset);
    this.read.set(dataset, rows);
    return rows;
  }

  /** Token ids of the given examples, and the maximum length (at least 1). */
  public padded(
    dataset: Dataset,
    indices: Int32Array | readonly number[],
  ): { readonly length: number; readonly chosen: readonly Int32Array[] } {
    const rows = this.of(dataset);
    const chosen = Array.from(indices, (index) => rows[index] ?? new Int32Array(0));
    return { length: chosen.reduce((most, row) => Math.max(most, row.length), 1), chosen };
  }

  private encode(dataset: Dataset): readonly Int32Array[] {
    return Array.from({ length: dataset.size }, (_, index) => {
      const text = dataset.text?.(index) ?? '';
      const ids = this.tokenizer.encode(text.slice(0, this.maxTokens * charactersPerToken));
      return ids.slice(0, this.maxTokens);
    });
  }
}
