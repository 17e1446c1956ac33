import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitEncoding, emitLookup } from '../encodings/emit-encoding';
import { emitOverLast } from '../encodings/emit-pointwise';
import type { MatrixEncoding } from '../matrix-encoding';
import { emitRows, emitWeight } from './weight';

/** y = x·Wᵀ + b with W stored as [out, in], as [in, out] where `transposed`, or as [out, in / groups, 1]. */
export interface Linear {
  readonly weight: LazyTensor;
  readonly bias?: LazyTensor;
  readonly transposed?: boolean;
  /** Number of channel groups, each with its own inputs. */
  readonly groups?: number;
  /** Encoding that replaces the weight. The weight is then used only for its name. */
  readonly encoding?: MatrixEncoding;
}

/**
 * Applies `linear` to `rows` [rows, in], returning [rows, out], and marks the rows by the weight's name. Gemm reads W
 * as stored.
 */
export function emitLinear(graph: GraphBuilder, linear: Linear, rows: Value): Value {
  const { weight, encoding } = linear;
  return graph.step('linear', () => {
    graph.mark(weight.name, rows);
    const bias = linear.bias === undefined ? [] : [emitWeight(graph, linear.bias)];
    if (encoding !== undefined) {
      return emitEncoding(graph, encoding, rows, bias[0]);
    }
    if (linear.groups !== undefined) {
      return emitGrouped(graph, weight, linear.groups, rows, bias);
    }
    const { isPackedTransposed, ...stored } = packedLayout(weight);
    const transposed = linear.transposed ?? false;
    const matrix = emitWeight(graph, stored);
    return graph.op('Gemm', [rows, matrix, ...bias], {
      transB: transposed === isPackedTransposed ? 1 : 0,
    });
  });
}

/** Weight, or its transpose if that one is packed, because Gemm supports both. */
function packedLayout(weight: LazyTensor): LazyTensor & { readonly isPackedTransposed: boolean } {
  const { packed, shape } = weight;
  return packed?.isTransposed === true && packed.rows === undefined
    ? {
        ...weight,
        shape: shape.toReversed(),
        packed: { ...packed, isTransposed: false },
        isPackedTransposed: true,
      }
    : { ...weight, isPackedTransposed: false };
}

/** Applies a convolution of width 1 to rows [rows, in], giving [rows, out]. */
function emitGrouped(
  graph: GraphBuilder,
  weight: LazyTensor,
  groups: number,
  rows: Value,
  bias: readonly Value[],
): Value {
  const column = graph.op('Unsqueeze', [rows, graph.ints([2])]);
  const out = graph.op('Conv', [column, emitWeight(graph, weight), ...bias], { group: groups });
  return graph.op('Squeeze', [out, graph.ints([2])]);
}

/** Applies `linear` to x [..., in] of any rank and returns [..., out]. */
export function emitLinearOver(graph: GraphBuilder, linear: Linear, x: Value): Value {
  const { shape } = linear.weight;
  const [out = 0, input = 0] = linear.transposed === true ? shape.toReversed() : shape;
  return emitOverLast(graph, { out, in: input }, x, (rows) => emitLinear(graph, linear, rows));
}

/** Looks up rows `ids` [batch, sequence] of a table of any encoding, as float32. */
export function emitTableRows(
  graph: GraphBuilder,
  { weight, encoding }: Linear,
  ids: Value,
): Value {
  return graph.step('embedding', () =>
    encoding === undefined ? emitRows(graph, weight, ids) : emitLookup(graph, encoding, ids),
  );
}

/** Applies the outputs `ids` [count] of `linear` alone to `rows` [rows, in], giving [rows, count]. */
export function emitOutputs(graph: GraphBuilder, linear: Linear, rows: Value, ids: Value): Value {
  const { weight, bias, transposed, encoding } = linear;
  if (encoding?.kind === 'low-rank' || encoding?.kind === 'mpo') {
    return graph.op('Gather', [emitLinear(graph, linear, rows), ids], { axis: -1 });
  }
  const isColumns = transposed === true && encoding === undefined;
  const matrix = isColumns
    ? graph.op('Gather', [emitWeight(graph, weight), ids], { axis: 1 })
    : emitTableRows(graph, linear, ids);
  const own = bias === undefined ? [] : [graph.op('Gather', [emitWeight(graph, bias), ids])];
  return graph.op('Gemm', [rows, matrix, ...own], { transB: isColumns ? 0 : 1 });
}
