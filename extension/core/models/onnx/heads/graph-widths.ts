import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { Message } from '../../../message';
import type { Width } from '../../width-pruning/width';
import type { GraphLinear } from '../matrices/graph-linears';
import { GraphMatrices } from '../matrices/graph-matrices';
import { findChannels, withTensors } from '../matrices/graph-width';
import type { OnnxModel } from '../stream/graph-stream';
import type { ValueShapes } from '../values/value-shapes';
import { graphHeads } from './graph-heads';
import type { GraphHeads } from './graph-heads';

/** Width pruning of the sublayers of a graph. */
export class GraphWidths {
  private readonly heads = new Map<number, GraphHeads | Message | undefined>();

  public constructor(
    private readonly source: OnnxModel,
    private readonly layersOf: (index: number) => readonly GraphLinear[],
    private readonly shapes: () => ValueShapes,
  ) {}

  /** Undefined if a sublayer can only be removed as a whole. */
  public of(index: number): Width | undefined {
    switch (this.source.summary.sublayers[index]?.kind) {
      case 'feedforward':
        return findChannels(this.source, index, this.matricesOf(index));
      case 'attention':
        return this.graphHeads(index);
      default:
        return undefined;
    }
  }

  /** Reason why the heads of an attention can't be pruned, if known. */
  public problemOf(index: number): Message | undefined {
    const isAttention = this.source.summary.sublayers[index]?.kind === 'attention';
    const found = isAttention ? this.findHeads(index) : undefined;
    return found !== undefined && 'code' in found ? found : undefined;
  }

  /**
   * Returns the file with resized tensors.
   * @param widths indices that each pruned sublayer keeps, by id
   */
  public resized(
    tensors: ReadonlyMap<string, LazyTensor>,
    widths: ReadonlyMap<string, readonly number[]>,
  ): OnnxFile {
    const widthPruned = this.source.summary.sublayers.flatMap(({ id }, index) => {
      const indices = widths.get(id);
      return indices === undefined ? [] : [{ indices, index, heads: this.graphHeads(index) }];
    });
    // Heads determine the sizes of all values that they change.
    const resized = widthPruned.flatMap(({ index, heads }) =>
      heads === undefined
        ? [...(this.source.branches[index]?.nodes ?? [])].flatMap(({ outputs }) => outputs)
        : [],
    );
    return widthPruned.reduce(
      (edited, { indices, heads }) => heads?.resized(edited, indices) ?? edited,
      withTensors(this.source.file, tensors, new Set(resized)),
    );
  }

  private graphHeads(index: number): GraphHeads | undefined {
    const isAttention = this.source.summary.sublayers[index]?.kind === 'attention';
    const found = isAttention ? this.findHeads(index) : undefined;
    return found !== undefined && 'tensors' in found ? found : undefined;
  }

  private findHeads(index: number): GraphHeads | Message | undefined {
    if (!this.heads.has(index)) {
      this.heads.set(index, graphHeads(this.source, index, this.matricesOf(index), this.shapes()));
    }
    return this.heads.get(index);
  }

  private matricesOf(index: number): GraphMatrices {
    return new GraphMatrices(this.source, this.layersOf(index));
  }
}
