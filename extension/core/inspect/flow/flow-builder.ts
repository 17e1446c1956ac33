import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Dimension } from '../../onnx/graph-builder';
import { say } from '../../message';
import type { Message } from '../../message';
import type { StoredTensor } from '../model-description';
import type { FlowEdge, FlowKind, FlowNode } from './flow-document';

/** What a block is called. */
export const blockLabel = (block: number | string): Message => say`Block ${block}`;

/** Where a value comes from: a node, and the shape of what it gives. */
export interface Wire {
  readonly from: string;
  readonly shape: readonly Dimension[];
}

interface NodeOptions {
  readonly label: Message;
  readonly kind: FlowKind;
  readonly detail?: Message | undefined;
  readonly tensors?: readonly (LazyTensor | undefined)[];
  readonly inputs: readonly Wire[];
}

/** Makes nodes and the edges that lead to them. */
export class FlowBuilder {
  public readonly edges: FlowEdge[] = [];
  /** Shapes of the tensors by name. */
  public readonly shapes: ReadonlyMap<string, readonly number[]>;
  private readonly byFile = new Map<string, StoredTensor[]>();

  /** @param tensors As the files name them, which a model may do otherwise. */
  public constructor(tensors: readonly StoredTensor[]) {
    this.shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
    for (const tensor of tensors) {
      const list = this.byFile.get(tensor.file) ?? [];
      this.byFile.set(tensor.file, list);
      list.push(tensor);
    }
    for (const list of this.byFile.values()) {
      list.sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
    }
  }

  public node(id: string, { label, kind, detail, tensors = [], inputs }: NodeOptions): FlowNode {
    for (const { from, shape } of inputs) {
      this.edges.push({ from, to: id, shape });
    }
    const names = tensors.flatMap((tensor) =>
      tensor === undefined ? [] : (this.storedName(tensor) ?? []),
    );
    return {
      id,
      label,
      kind,
      tensors: [...new Set(names)],
      ...(detail === undefined ? {} : { detail }),
    };
  }

  /** One node reads the weights of another. */
  public share(from: string, to: string): void {
    this.edges.push({ from, to, shared: true });
  }

  /** The stored tensor that begins where `tensor` does, or that it is a part of. */
  private storedName({ file, offset }: LazyTensor): string | undefined {
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
