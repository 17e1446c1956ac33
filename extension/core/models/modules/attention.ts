import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { SublayerKind } from '../model-summary';
import { prunableWidth, isPlain, inputCuts, outputCuts } from '../narrow/width';
import type { Places, Width } from '../narrow/width';
import type { SharedParts } from '../parts/adapted';
import type { CompressedParts } from '../parts/compressed/compressed-parts';
import type { DistanceBias } from '../parts/distance-bias';
import { biasGateTensors } from '../parts/gated-bias';
import type { BiasGate } from '../parts/gated-bias';
import type { GridBias } from '../parts/grid-bias';
import type { LatentNorms, LatentShape } from '../parts/latent-heads';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import type { Norm } from '../parts/norm';
import type { Difference } from '../parts/probabilities';
import type { RelativeShape, RelativeWeights } from '../parts/relative-scores';
import type {
  FusedOrder,
  GateActivation,
  OwnHeads,
  QueryKeyNormExtent,
} from '../transformer/architecture';
import { emitHeads } from './attention-heads';
import { linearIfAny, SublayerModule } from './sublayer';
import type { BranchInput, RoledLinear } from './sublayer';
import type { BranchShape, Wiring } from './wiring';

/** Sizes shared by every attention sublayer of a model. */
export interface AttentionShape extends OwnHeads, BranchShape {
  /** Sizes of queries, keys and values that come from narrow latents, where they do. */
  readonly latent: LatentShape | undefined;
  /** Cap of the scores, if any. */
  readonly softCap: number | undefined;
  readonly queryKeyNormsOver: QueryKeyNormExtent;
  /** Whether queries and keys are turned before they are normed. */
  readonly turnsFirst: boolean;
  /** Bound on the absolute values of queries, keys and values, if any. */
  readonly clip: number | undefined;
  /** Whether the queries' matrix gives each head's query and behind it a gate, as wide. */
  readonly gatesInQuery: boolean;
  /** Order of query, key and value where one matrix holds all three. */
  readonly fusedOrder: FusedOrder | undefined;
  /** Of attention by the expected share of so many hashes that agree, where that is what it is. */
  readonly hashes: number | undefined;
  /** How scores depend on relative positions, where they do. */
  readonly relative: RelativeShape | undefined;
  /** What is applied to the gate, and whether that has one factor for each head. */
  readonly gateActivation: GateActivation;
  readonly gateIsByHead: boolean;
}

/** Weights of one attention sublayer. */
export interface AttentionWeights extends Wiring {
  /**
   * [query, key, value], or one matrix of all three; [query, key] where values are keys too, and [query] where keys
   * and values are of another stream; of latents as {@link emitLatentHeads} takes them.
   */
  readonly queryKeyValue: readonly Linear[];
  /** What keys and values are made by where another stream gives them. */
  readonly othersKeys?: OthersKeys;
  readonly latentNorms?: LatentNorms;
  readonly output: Linear;
  readonly queryKeyNorms?: { readonly query: Norm; readonly key?: Norm };
  /** Whether each head's values are normed, without weights. */
  readonly normsValues?: boolean;
  /** Of what all heads give. */
  readonly innerNorm?: Norm;
  /** [numHeads]: scores of nothing, to which a head may attend instead of a token. */
  readonly sinks?: LazyTensor;
  /** Its sigmoid is a factor on what the heads give. */
  readonly gate?: Linear;
  /** Added to queries and values where they come from one matrix without a bias: [hiddenSize] each. */
  readonly addedBiases?: { readonly query: LazyTensor; readonly value: LazyTensor };
  readonly relative?: RelativeWeights;
  /** [numHeads, 1, width, 1]: what is summed of a head's values along the sequence, and added to what it gives. */
  readonly valueConvolution?: LazyTensor;
  /** What scores gain by distance in a grid of patches. */
  readonly gridBias?: GridBias;
  /** What scores gain by how far a key is, where that isn't part of the mask. */
  readonly distanceBias?: DistanceBias;
  /** How far the mask, which holds what scores gain by distance, is let in. */
  readonly biasGate?: BiasGate;
  /** Of heads in pairs that see the difference of what two see. */
  readonly difference?: Difference;
  /** Of a transformer that blocks share, whose last layer is `output`. */
  readonly shared?: SharedParts;
  /** Of attention that reads compressed runs of tokens. */
  readonly compressed?: CompressedParts;
}

/** How keys and values are made of another stream than the one that queries are made of. */
export interface OthersKeys {
  /** The block whose attention reads that stream; absent where it is what an encoder gives. */
  readonly block?: number;
  readonly norm?: Norm;
  /** [key, value], or [key] where values are keys too. */
  readonly keyValue: readonly Linear[];
  readonly keyNorm?: Norm;
}

/** What the attention of a block attends to, and how it rotates queries and keys. */
export interface AttentionReach {
  /** Number of past positions that are visible, its own included; all if undefined. */
  readonly slidingWindow: number | undefined;
  /** Key of its rotary embedding in the layout. */
  readonly rotary: string | undefined;
}

/** Grouped-query attention (arXiv 2305.13245), with rotary embedding if the model has one. */
export class Attention<Weights extends AttentionWeights = AttentionWeights> extends SublayerModule<
  Weights,
  AttentionShape
> {
  public readonly kind = 'attention';
  public readonly slidingWindow: number | undefined;
  public readonly rotary: string | undefined;

  public constructor(
    block: number,
    shape: AttentionShape,
    weights: Weights,
    { slidingWindow, rotary }: Partial<AttentionReach> = {},
  ) {
    super(block, shape, weights);
    this.slidingWindow = slidingWindow;
    this.rotary = rotary;
  }

  /** Whether its keys and values are computed from the output of an encoder. */
  public get isCross(): boolean {
    const { othersKeys } = this.weights;
    return othersKeys !== undefined && othersKeys.block === undefined;
  }

  public override get keysBlock(): number | undefined {
    return this.weights.othersKeys?.block;
  }

  public override get summaryKind(): SublayerKind {
    return this.isCross ? 'cross-attention' : this.kind;
  }

  public override get id(): string {
    return `block.${this.block}.${this.summaryKind}`;
  }

  public get linears(): readonly Linear[] {
    const { queryKeyValue, othersKeys, relative, gate, output } = this.weights;
    return [
      ...queryKeyValue,
      ...(othersKeys?.keyValue ?? []),
      ...linearIfAny(relative?.own?.query),
      ...linearIfAny(relative?.own?.key),
      ...linearIfAny(gate),
      output,
    ];
  }

  protected get roles(): readonly RoledLinear[] {
    const { queryKeyValue, latentNorms, output, gate, othersKeys } = this.weights;
    const roles = latentNorms === undefined ? (['query', 'key', 'value'] as const) : [];
    const isFused = queryKeyValue.length === 1 && othersKeys === undefined;
    // Keys and values of another block's stream belong to that block.
    const otherKeys = this.isCross ? (othersKeys?.keyValue ?? []) : [];
    return [
      ...queryKeyValue.map((linear, i): RoledLinear => [
        isFused ? 'query-key-value' : (roles[i] ?? 'other'),
        linear,
      ]),
      ...otherKeys.map((linear, i): RoledLinear => [i === 0 ? 'key' : 'value', linear]),
      ...linearIfAny(gate).map((linear): RoledLinear => ['other', linear]),
      ['output', output],
    ];
  }

  protected get outputLinears(): readonly Linear[] {
    return [this.weights.output];
  }

  protected override get innerNorms(): readonly (Norm | undefined)[] {
    const { queryKeyNorms, latentNorms, innerNorm, othersKeys } = this.weights;
    return [
      queryKeyNorms?.query,
      queryKeyNorms?.key,
      latentNorms?.query,
      latentNorms?.keyValue,
      innerNorm,
      othersKeys?.norm,
      othersKeys?.keyNorm,
    ];
  }

  protected override get otherTensors(): readonly (LazyTensor | undefined)[] {
    const { sinks, addedBiases, valueConvolution, gridBias, distanceBias } = this.weights;
    return [
      sinks,
      addedBiases?.query,
      addedBiases?.value,
      valueConvolution,
      gridBias?.table,
      distanceBias?.table,
      ...(this.weights.difference?.factors ?? []),
      ...biasGateTensors(this.weights.biasGate),
    ];
  }

  public mapLinears(map: (linear: Linear) => Linear): this {
    const { queryKeyValue, output, gate, othersKeys } = this.weights;
    return this.withWeights({
      ...this.weights,
      ...(othersKeys === undefined
        ? {}
        : { othersKeys: { ...othersKeys, keyValue: othersKeys.keyValue.map(map) } }),
      queryKeyValue: queryKeyValue.map(map),
      output: map(output),
      ...(gate === undefined ? {} : { gate: map(gate) }),
    });
  }

  public override get width(): Width | undefined {
    return attentionWidth(this.shape, this.weights);
  }

  public override get cachedNumbers(): number | undefined {
    const { numKeyValueHeads, headDim, valueDim } = this.shape;
    const ownsKeys = this.weights.othersKeys === undefined;
    return ownsKeys ? numKeyValueHeads * (headDim + valueDim) : undefined;
  }

  protected emitBranch(graph: GraphBuilder, normed: Value, given: BranchInput): Value {
    const { x, side, options } = given;
    const heads = emitHeads(graph, this.shape, this.weights, normed, side, options.cache);
    const out = emitLinear(graph, this.weights.output, heads);
    return graph.op('Reshape', [out, graph.op('Shape', [x])]);
  }
}

/** The key/value heads of an attention; undefined where they can only stay or go as a whole. */
function attentionWidth(shape: AttentionShape, weights: AttentionWeights): Width | undefined {
  const { numHeads, numKeyValueHeads: count, headDim } = shape;
  const { queryKeyValue, output } = weights;
  const perGroup = (numHeads / count) * headDim;
  const run = (start: number, length: number): number[] =>
    Array.from({ length }, (_, i) => start + i);
  const runs =
    (length: number, start = 0): Places =>
    (kept) =>
      kept.flatMap((group) => run(start + group * length, length));
  const queries = runs(perGroup);
  const [query, key, value] = queryKeyValue;
  const fused: Places =
    shape.fusedOrder === 'by-group'
      ? runs(perGroup + 2 * headDim)
      : (kept) => [
          ...queries(kept),
          ...runs(headDim, numHeads * headDim)(kept),
          ...runs(headDim, (numHeads + count) * headDim)(kept),
        ];
  const inner = runs(headDim);
  const tensors = [
    ...(query === undefined ? [] : outputCuts(query, key === undefined ? fused : queries)),
    ...[key, value].flatMap((linear) => (linear === undefined ? [] : outputCuts(linear, inner))),
    ...inputCuts(output, queries),
  ];
  return isPlainAttention(shape, weights) && [...queryKeyValue, output].every(isPlain)
    ? prunableWidth('groups', count, tensors, output)
    : undefined;
}

/** Whether nothing but the projections knows of single heads. */
function isPlainAttention(shape: AttentionShape, weights: AttentionWeights): boolean {
  const { queryKeyNorms, innerNorm, sinks, gate, addedBiases, relative } = weights;
  const { valueConvolution, gridBias, distanceBias, biasGate, latentNorms, othersKeys } = weights;
  const { difference } = weights;
  const others = [
    innerNorm,
    sinks,
    gate,
    addedBiases,
    relative,
    valueConvolution,
    gridBias,
    distanceBias,
    biasGate,
  ];
  return (
    [...others, latentNorms, othersKeys, difference].every((part) => part === undefined) &&
    (queryKeyNorms === undefined || shape.queryKeyNormsOver === 'head') &&
    shape.latent === undefined &&
    shape.valueDim === shape.headDim &&
    !shape.gatesInQuery &&
    shape.fusedOrder !== 'query-value-key-by-quarter'
  );
}

/** The shape with fewer key/value heads, and as many query heads for each. */
export function withHeads(shape: AttentionShape, groups = shape.numKeyValueHeads): AttentionShape {
  const { numHeads, numKeyValueHeads } = shape;
  return {
    ...shape,
    numHeads: (numHeads / numKeyValueHeads) * groups,
    numKeyValueHeads: groups,
  };
}
