import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinearOver, emitTableRows } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm, emitNorms } from '../parts/norm';
import type { Norm, NormStyle } from '../parts/norm';
import { emitPlaces } from '../parts/places';
import type { SinePositions } from '../transformer/architecture';
import { partTensors, storedTensors } from '../transformer/part-tensors';

/** Added to an embedding: row position + offset of a table, or sines. */
export type Positions = { readonly weight: LazyTensor; readonly offset: number } | SinePositions;

interface EmbeddingParts {
  /** [vocabulary, width] */
  readonly table: Linear;
  /** Factor on the rows of the table. */
  readonly scale: number;
  /** From the width of the table to the hidden size, if these differ. */
  readonly projection?: Linear | undefined;
  /** Norm before positions are added. */
  readonly wordNorm?: Norm | undefined;
  readonly positions: Positions | undefined;
  /** Norms after positions are added, in order. */
  readonly norms: readonly Norm[];
}

/** Prologue of a text: rows of a table, with positions, normed. */
export class WordEmbedding {
  public constructor(
    private readonly parts: EmbeddingParts,
    private readonly style: NormStyle,
    private readonly hiddenSize: number,
  ) {}

  public get table(): Linear {
    return this.parts.table;
  }

  /** Every tensor, as stored. */
  public get tensors(): readonly LazyTensor[] {
    const { table, projection, wordNorm, positions, norms } = this.parts;
    return [
      ...storedTensors(table),
      ...storedTensors(projection),
      ...(positions !== undefined && 'weight' in positions ? [positions.weight] : []),
      ...[wordNorm, ...norms].flatMap((norm) => partTensors(norm)),
    ];
  }

  public withTable(table: Linear): WordEmbedding {
    return new WordEmbedding({ ...this.parts, table }, this.style, this.hiddenSize);
  }

  /**
   * Emits the first hidden states [batch, sequence, hidden] of `ids` [batch, sequence].
   * @param emitPositions emits position ids [batch | 1, sequence], if positions are added
   */
  public emit(graph: GraphBuilder, ids: Value, emitPositions: () => Value): Value {
    const { table, scale, projection, wordNorm, positions, norms } = this.parts;
    const { style, hiddenSize } = this;
    const rows = emitTableRows(graph, table, ids);
    const scaled = scale === 1 ? rows : graph.op('Mul', [rows, graph.scalar(scale)]);
    const words = projection === undefined ? scaled : emitLinearOver(graph, projection, scaled);
    const normed = wordNorm === undefined ? words : emitNorm(graph, style, words, wordNorm);
    const placed =
      positions === undefined
        ? normed
        : graph.op('Add', [normed, emitPlaces(graph, positions, emitPositions(), hiddenSize)]);
    return emitNorms(graph, style, placed, norms);
  }
}
