import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinearOver, emitTableRows } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm, emitNorms } from '../parts/norm';
import type { Norm, NormStyle } from '../parts/norm';
import { emitRows } from '../parts/weight';
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

/** Emits what positions add to the embedding of `positionIds` int64 [batch, sequence]: [batch, sequence, width]. */
function emitPlaces(
  graph: GraphBuilder,
  positions: Positions,
  positionIds: Value,
  width: number,
): Value {
  return graph.step('positions', () => {
    const numbers = graph.op('Add', [positionIds, graph.ints([positions.offset], [])]);
    if ('weight' in positions) {
      return emitRows(graph, positions.weight, numbers);
    }
    const half = width / 2;
    const inverse = Array.from(
      { length: half },
      (_, i) => 10_000 ** (-i / positions.divisor(half)),
    );
    const column = graph.op('Unsqueeze', [
      graph.op('Cast', [numbers], { to: DataType.FLOAT }),
      graph.ints([2]),
    ]);
    const angles = graph.op('Mul', [column, graph.floats(inverse, [1, 1, half])]);
    return graph.op('Concat', [graph.op('Sin', [angles]), graph.op('Cos', [angles])], { axis: 2 });
  });
}
