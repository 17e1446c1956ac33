import { emitLength } from '../../onnx/emit-sequence';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { SublayerCache } from '../model-emitter';
import { emitProbabilities } from '../parts/attention-part';
import type { AttentionContext, AttentionPart, Heads } from '../parts/attention-part';
import { emitLatentHeads } from '../parts/latent-heads';
import type { LatentNorms, LatentShape } from '../parts/latent-heads';
import { emitLinear } from '../parts/linear';
import { emitNorm, emitSoftCap } from '../parts/norm';
import type { Norm } from '../parts/norm';
import { emitRotation } from '../parts/rotary';
import type { CompressedParts } from '../parts/compressed/compressed-parts';
import type { Linear } from '../parts/linear';
import type { FusedOrder, OwnHeads, QueryKeyNormExtent } from '../transformer/architecture';
import type { SideInputs } from './sublayer';
import type { BranchShape, Wiring } from './wiring';

/** Sizes shared by every attention sublayer of a model. */
export interface AttentionShape extends OwnHeads, BranchShape {
  /** Sizes of latent queries, keys and values (multi-head latent attention), if the model has them. */
  readonly latent: LatentShape | undefined;
  /** Cap of the scores, if any. */
  readonly softCap: number | undefined;
  /** Order of query, key and value in a fused projection. */
  readonly fusedOrder: FusedOrder | undefined;
}

/** Weights of one attention sublayer. */
export interface AttentionWeights extends Wiring {
  /**
   * [query, key, value] or one fused matrix; [query, key] if keys are also the values; [query] if keys and values come
   * from another stream. For latent attention, see {@link emitLatentHeads}.
   */
  readonly queryKeyValue: readonly Linear[];
  /** Projections of keys and values from another stream. */
  readonly othersKeys?: OthersKeys;
  readonly latentNorms?: LatentNorms;
  readonly output: Linear;
  readonly queryKeyNorms?: {
    readonly query: Norm;
    readonly key?: Norm;
    readonly over: QueryKeyNormExtent;
    /** True if queries and keys are rotated before their norms. */
    readonly afterRotary: boolean;
  };
  /** Parts that only some architectures have. */
  readonly parts?: readonly AttentionPart[];
  /** Parts of a transformer block shared by several blocks. `output` is its last layer. */
  readonly shared?: SharedParts;
  /** Parts of attention over compressed runs of tokens. */
  readonly compressed?: CompressedParts;
}

/** Key and value projections of another stream than that of the queries. */
export interface OthersKeys {
  /** Block whose attention input is that stream; undefined for the output of an encoder. */
  readonly block?: number;
  readonly norm?: Norm;
  /** [key, value], or [key] if keys are also the values. */
  readonly keyValue: readonly Linear[];
  readonly keyNorm?: Norm;
}

/** Emits the head outputs for `input` [batch, sequence, hiddenSize]: rows [batch · sequence, numHeads · valueDim]. */
export function emitHeads(
  graph: GraphBuilder,
  shape: AttentionShape,
  weights: AttentionWeights,
  input: Value,
  side: SideInputs,
  cache?: SublayerCache,
): Value {
  const { hiddenSize, numHeads, numKeyValueHeads, headDim, valueDim, norm } = shape;
  const rows = graph.op('Reshape', [input, graph.ints([-1, hiddenSize])]);
  const batch = emitLength(graph, input, 0);
  const normed = (x: Value, gain: Norm | undefined): Value =>
    gain === undefined ? x : emitNorm(graph, norm, x, gain);
  const toHeads = (x: Value, heads: number, dim: number, gain?: Norm): Value => {
    const whole = weights.queryKeyNorms?.over === 'projection';
    const size = graph.op('Concat', [batch, graph.ints([-1, heads, dim])], { axis: 0 });
    const split = graph.op('Reshape', [whole ? normed(x, gain) : x, size]);
    const result = whole ? split : normed(split, gain);
    return graph.op('Transpose', [result], { perm: [0, 2, 1, 3] });
  };
  const rotate = (heads: Value, dim: number): Value =>
    side.rotation === undefined
      ? heads
      : emitRotation(graph, side.rotation.rotary, dim, heads, side.rotation);
  const rotatedHeads = (x: Value, heads: number, gain?: Norm): Value =>
    weights.queryKeyNorms?.afterRotary === true
      ? normed(rotate(toHeads(x, heads, headDim), headDim), gain)
      : rotate(toHeads(x, heads, headDim, gain), headDim);
  const { parts = [], queryKeyValue } = weights;
  const context: AttentionContext = { shape, queryKeyValue, input };
  const plainHeads = (): Heads => {
    const [q = '', ...own] = emitQueryKeyValue(graph, shape, weights, rows);
    const { othersKeys: others, queryKeyNorms } = weights;
    const [k = '', v = k] =
      others === undefined ? own : emitOthersKeys(graph, shape, others, side.othersStream ?? '');
    const projected = parts.reduce<Heads>((all, part) => part.projected?.(graph, all) ?? all, {
      query: q,
      key: k,
      value: v,
    });
    return {
      ...projected,
      query: rotatedHeads(projected.query, numHeads, queryKeyNorms?.query),
      key: rotatedHeads(
        projected.key,
        numKeyValueHeads,
        others === undefined ? queryKeyNorms?.key : others.keyNorm,
      ),
      value: toHeads(projected.value, numKeyValueHeads, valueDim),
    };
  };

  const heads: Heads =
    shape.latent === undefined
      ? plainHeads()
      : emitLatentHeads(graph, shape.latent, weights, rows, {
          numHeads,
          normed,
          rotate,
          toHeads,
        });
  const grown =
    side.queryScale === undefined ? heads.query : graph.op('Mul', [heads.query, side.queryScale]);
  const own = parts.reduce<Heads>((given, part) => part.heads?.(graph, given, context) ?? given, {
    query: grown,
    key: heads.key,
    value: heads.value,
  });
  const { query } = own;
  const all = (name: string, dim: number, added: Value): Value => {
    const past = cache?.past(name, [numKeyValueHeads, 'positions', dim]);
    const joined = past === undefined ? added : graph.op('Concat', [past, added], { axis: 2 });
    cache?.keep(name, joined);
    return joined;
  };
  const [key, value] = graph.step('cache', (): [Value, Value] => [
    all('key', headDim, own.key),
    all('value', valueDim, own.value),
  ]);

  const seen: Heads = { query, key, value };
  const joined = graph.step('attention', () =>
    emitAttention(graph, shape, weights, seen, context, side),
  );
  return parts.reduce(
    (given, part) => part.joined?.(graph, given, { shape, rows, gate: heads.gate }) ?? given,
    joined,
  );
}

/** Emits softmax(scale · Q·Kᵀ)·V with the attention's parts: rows [batch · sequence, numHeads · valueDim]. */
function emitAttention(
  graph: GraphBuilder,
  shape: AttentionShape,
  { parts = [] }: AttentionWeights,
  seen: Heads,
  context: AttentionContext,
  side: SideInputs,
): Value {
  const { query, key, value } = seen;
  const { numHeads, numKeyValueHeads, headDim, valueDim } = shape;
  // A 0 in `dims` copies the dimension of the input.
  const reshape = (x: Value, ...dims: readonly number[]): Value =>
    graph.op('Reshape', [x, graph.ints(dims)]);
  // The queries of a group are stacked along the sequence, so keys and values need no repeating.
  const grouped = reshape(query, 0, numKeyValueHeads, -1, headDim);
  const scaled = graph.op('Mul', [grouped, graph.scalar(shape.scale)]);
  const scores = graph.op('MatMul', [scaled, graph.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
  const perHead = reshape(scores, 0, numHeads, -1, 0);
  const biased = parts.reduce(
    (given, part) => part.scores?.(graph, given, seen, context) ?? given,
    perHead,
  );
  const capped = emitSoftCap(graph, biased, shape.softCap);
  const mask =
    side.mask &&
    parts.reduce((given, part) => part.mask?.(graph, given, context) ?? given, side.mask);
  const probabilities = emitProbabilities(graph, parts, capped, mask);
  const stacked = reshape(probabilities, 0, numKeyValueHeads, -1, 0);
  const { widened } = parts.find((part) => part.widened !== undefined) ?? {};
  const values = widened?.emit(graph, value) ?? value;
  const width = (widened?.factor ?? 1) * valueDim;
  const outputs = parts.reduce(
    (given, part) => part.attended?.(graph, given, seen, context) ?? given,
    reshape(graph.op('MatMul', [stacked, values]), 0, numHeads, -1, width),
  );
  return graph.op('Reshape', [
    graph.op('Transpose', [outputs], { perm: [0, 2, 1, 3] }),
    graph.ints([-1, numHeads * valueDim]),
  ]);
}

/** Emits keys and values [rows, numKeyValueHeads · headDim] from the stream before another attention sublayer. */
function emitOthersKeys(
  graph: GraphBuilder,
  { norm, hiddenSize }: AttentionShape,
  { keyValue, norm: gain }: OthersKeys,
  hidden: Value,
): Value[] {
  const input = gain === undefined ? hidden : emitNorm(graph, norm, hidden, gain);
  const rows = graph.op('Reshape', [input, graph.ints([-1, hiddenSize])]);
  return keyValue.map((linear) => emitLinear(graph, linear, rows));
}

function emitQueryKeyValue(
  graph: GraphBuilder,
  shape: AttentionShape,
  weights: AttentionWeights,
  rows: Value,
): Value[] {
  const projected = weights.queryKeyValue.map((linear, i) =>
    emitAdapted(graph, linear, weights.shared?.adapters[i], rows),
  );
  const [fused = ''] = projected;
  if (projected.length > 1 || weights.othersKeys !== undefined) {
    return projected;
  }
  const { numHeads, numKeyValueHeads, headDim } = shape;
  if (shape.fusedOrder === 'by-group') {
    const group = numHeads / numKeyValueHeads;
    const groups = graph.op('Reshape', [
      fused,
      graph.ints([-1, numKeyValueHeads, group + 2, headDim]),
    ]);
    return graph
      .ops('Split', [groups, graph.ints([group, 1, 1])], 3, { axis: 2 })
      .map((part, i) => {
        const heads = i === 0 ? numHeads : numKeyValueHeads;
        return graph.op('Reshape', [part, graph.ints([-1, heads * headDim])]);
      });
  }
  if (shape.fusedOrder === 'query-value-key-by-quarter') {
    const quarters = graph.op('Reshape', [fused, graph.ints([-1, 4, 3, (numHeads * headDim) / 4])]);
    const [q = '', v = '', k = ''] = graph
      .ops('Split', [quarters, graph.ints([1, 1, 1])], 3, { axis: 2 })
      .map((part) => graph.op('Reshape', [part, graph.ints([-1, numHeads * headDim])]));
    return [q, k, v];
  }
  const sizes = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim);
  return graph.ops('Split', [fused, graph.ints(sizes)], 3, { axis: -1 });
}

/** Two linear layers, without biases, with a narrow one between them. */
export interface Adapter {
  readonly down: Linear;
  readonly up: Linear;
}

/** Emits linear(rows) + up(down(rows)). */
export function emitAdapted(
  graph: GraphBuilder,
  linear: Linear,
  adapter: Adapter | undefined,
  rows: Value,
): Value {
  const own = emitLinear(graph, linear, rows);
  return adapter === undefined
    ? own
    : graph.op('Add', [own, emitLinear(graph, adapter.up, emitLinear(graph, adapter.down, rows))]);
}

/** Additional parts of attention in a shared transformer block. The block's own linear layer is the output projection. */
export interface SharedParts {
  /** Adapters of query, key and value; empty without adapters. */
  readonly adapters: readonly Adapter[];
  readonly attended: Linear;
  readonly norm: Norm;
  /** Gate and up in one matrix. */
  readonly gateUp: Linear;
  readonly gateUpAdapter: Adapter;
  readonly down: Linear;
  readonly activation: string;
}

/** Linear layers of a shared transformer besides query, key, value and output. */
export const sharedPartLinears = (shared: SharedParts): Linear[] => [
  ...[...shared.adapters, shared.gateUpAdapter].flatMap(({ down, up }) => [down, up]),
  shared.attended,
  shared.gateUp,
  shared.down,
];
