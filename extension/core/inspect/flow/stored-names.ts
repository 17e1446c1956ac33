import type { StoredRows } from '../../onnx/graph-builder';
import type { StoredTensor } from '../model-description';

/** Names of tensors as the files have them, which a model may call otherwise. */
export class StoredNames {
  private readonly byFile = new Map<string, StoredTensor[]>();

  public constructor(tensors: readonly StoredTensor[]) {
    for (const tensor of tensors) {
      const list = this.byFile.get(tensor.file) ?? [];
      this.byFile.set(tensor.file, list);
      list.push(tensor);
    }
    for (const list of this.byFile.values()) {
      list.sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
    }
  }

  /** Name of the stored tensor that contains `tensor`. */
  public find({ file, offset }: Pick<StoredRows, 'file' | 'offset'>): string | undefined {
    const list = this.byFile.get(file) ?? [];
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((list[middle]?.offset ?? 0) <= offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const found = list[low - 1];
    const begin = found?.offset;
    return found !== undefined && begin !== undefined && offset - begin < Math.max(1, found.bytes)
      ? found.name
      : undefined;
  }
}
