import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Heads } from './attention-part';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import { emitWeight } from './weight';
import type { Norm } from './norm';

/** Sizes of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434). */
export interface LatentShape {
  /** Rank of the query latent; undefined if queries are projected from the stream directly. */
  readonly queryRank: number | undefined;
  readonly keyValueRank: number;
  /** Query and key dimensions without rotary embedding, which come first. */
  readonly plainDim: number;
  /** Query and key dimensions with rotary embedding. */
  readonly rotaryDim: number;
  readonly valueDim: number;
}

/** Modules that score tokens for a query (DeepSeek-V3.2, arXiv 2512.02556). */
interface IndexerNames {
  readonly queryUp: string;
  readonly key: string;
  readonly keyNorm: string;
  readonly weights: string;
}

/** Names of multi-head latent attention. */
export interface LatentNames {
  /** Query projection of models without a query latent. */
  readonly query: string;
  readonly queryDown: string;
  readonly queryNorm: string;
  readonly queryUp: string;
  readonly keyValueDown: string;
  readonly keyValueNorm: string;
  readonly keyValueUp: string;
  /** Names of the indexer, which selects the tokens that a query attends to. It has no effect on shorter sequences. */
  readonly indexer?: IndexerNames;
  /** Of files that keep both apart: keys [heads, latent, size] and values [heads, size, latent]. */
  readonly apart?: { readonly keyUp: string; readonly valueUp: string };
}

/** Norms of the latents. */
export interface LatentNorms {
  readonly query?: Norm;
  readonly keyValue: Norm;
}

/** Head operations shared with other attention. */
interface HeadSteps {
  readonly numHeads: number;
  readonly normed: (x: Value, norm: Norm | undefined) => Value;
  readonly rotate: (heads: Value, dim: number) => Value;
  /** [rows, heads · dim] to [batch, heads, sequence, dim]. */
  readonly toHeads: (x: Value, heads: number, dim: number) => Value;
}

/**
 * Emits heads from latents: `queryKeyValue` is [queries' latent, queries, keys' and values' latent with
 * the rotary part of all keys, keys and values], without the first if queries have no latent. The last may be two: one
 * for keys, by head and transposed, and one for values.
 */
export function emitLatentHeads(
  graph: GraphBuilder,
  shape: LatentShape,
  weights: { readonly queryKeyValue: readonly Linear[]; readonly latentNorms?: LatentNorms },
  rows: Value,
  { numHeads, normed, rotate, toHeads }: HeadSteps,
): Heads {
  const { queryRank, keyValueRank, plainDim, rotaryDim, valueDim } = shape;
  const { queryKeyValue, latentNorms } = weights;
  const [down, up, compress, expand, valueUp] =
    queryRank === undefined ? [undefined, ...queryKeyValue] : queryKeyValue;
  const applied = (linear: Linear | undefined, x: Value): Value =>
    linear === undefined ? x : emitLinear(graph, linear, x);
  const split = (x: Value, ...sizes: readonly number[]): Value[] =>
    graph.ops('Split', [x, graph.ints(sizes)], sizes.length, { axis: -1 });

  const queries = applied(up, normed(applied(down, rows), latentNorms?.query));
  const [plain = '', rotaryPart = ''] = split(
    toHeads(queries, numHeads, plainDim + rotaryDim),
    plainDim,
    rotaryDim,
  );
  const [latent = '', sharedKey = ''] = split(applied(compress, rows), keyValueRank, rotaryDim);
  const narrow = normed(latent, latentNorms?.keyValue);
  const [plainKey = '', value = ''] =
    expand === undefined || valueUp === undefined
      ? split(toHeads(applied(expand, narrow), numHeads, plainDim + valueDim), plainDim, valueDim)
      : [
          toHeads(emitTurned(graph, expand, narrow), numHeads, plainDim),
          toHeads(emitLinear(graph, valueUp, narrow), numHeads, valueDim),
        ];
  const rotatedKey = rotate(toHeads(sharedKey, 1, rotaryDim), rotaryDim);
  const everyKey = graph.op(
    'Concat',
    Array.from({ length: numHeads }, () => rotatedKey),
    {
      axis: 1,
    },
  );
  return {
    query: graph.op('Concat', [plain, rotate(rotaryPart, rotaryDim)], { axis: -1 }),
    key: graph.op('Concat', [plainKey, everyKey], { axis: -1 }),
    value,
  };
}

/** Rows [rows, in] by a weight [heads, in, size]: [rows, heads · size]. */
function emitTurned(graph: GraphBuilder, { weight }: Linear, rows: Value): Value {
  const [heads = 0, input = 0, size = 0] = weight.shape;
  return graph.step('linear', () => {
    graph.mark(weight.name, rows);
    const byInput = graph.op('Transpose', [emitWeight(graph, weight)], { perm: [1, 0, 2] });
    const matrix = graph.op('Reshape', [byInput, graph.ints([input, heads * size])]);
    return graph.op('MatMul', [rows, matrix]);
  });
}
