import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { counted, say } from '../../message';
import type { Message } from '../../message';
import type { SublayerKind } from '../model-summary';
import { prunableWidth, isPlain, inputCuts, outputCuts } from '../width-pruning/width';
import type { Places, Width } from '../width-pruning/width';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import type { Norm } from '../parts/norm';
import { emitHeads } from './attention-heads';
import type { AttentionShape, AttentionWeights } from './attention-heads';
import { SublayerModule } from './sublayer';
import type { AttentionReach, BranchInput, RoledLinear } from './sublayer';

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
    { slidingWindow, rotary }: Partial<Omit<AttentionReach, 'isCross'>> = {},
  ) {
    super(block, shape, weights);
    this.slidingWindow = slidingWindow;
    this.rotary = rotary;
  }

  /** True if keys and values come from the output of an encoder. */
  public get isCross(): boolean {
    const { othersKeys } = this.weights;
    return othersKeys !== undefined && othersKeys.block === undefined;
  }

  public override get reach(): AttentionReach {
    const { slidingWindow, rotary, isCross } = this;
    return { slidingWindow, rotary, isCross };
  }

  public override get detail(): Message {
    const { numHeads, numKeyValueHeads, headDim } = this.shape;
    return numKeyValueHeads === numHeads
      ? say`${counted(numHeads, 'head')} × ${headDim}`
      : say`${counted(numHeads, 'head')} × ${headDim} in ${counted(numKeyValueHeads, 'group')}`;
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
    const { queryKeyValue, othersKeys, parts = [], output } = this.weights;
    return [
      ...queryKeyValue,
      ...(othersKeys?.keyValue ?? []),
      ...parts.flatMap(({ linears = [] }) => linears),
      output,
    ];
  }

  protected get roles(): readonly RoledLinear[] {
    const { queryKeyValue, latentNorms, output, parts = [], othersKeys } = this.weights;
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
      ...parts
        .flatMap(({ linears = [], mapLinears }) => (mapLinears === undefined ? [] : linears))
        .map((linear): RoledLinear => ['other', linear]),
      ['output', output],
    ];
  }

  protected get outputLinears(): readonly Linear[] {
    return [this.weights.output];
  }

  protected override get innerNorms(): readonly (Norm | undefined)[] {
    const { queryKeyNorms, latentNorms, othersKeys } = this.weights;
    return [
      queryKeyNorms?.query,
      queryKeyNorms?.key,
      latentNorms?.query,
      latentNorms?.keyValue,
      othersKeys?.norm,
      othersKeys?.keyNorm,
    ];
  }

  protected override get otherTensors(): readonly (LazyTensor | undefined)[] {
    return (this.weights.parts ?? []).flatMap(({ tensors = [] }) => tensors);
  }

  public mapLinears(map: (linear: Linear) => Linear): this {
    const { queryKeyValue, output, parts = [], othersKeys } = this.weights;
    return this.withWeights({
      ...this.weights,
      ...(othersKeys === undefined
        ? {}
        : { othersKeys: { ...othersKeys, keyValue: othersKeys.keyValue.map(map) } }),
      queryKeyValue: queryKeyValue.map(map),
      output: map(output),
      parts: parts.map((part) => part.mapLinears?.(map) ?? part),
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

  public override get cacheWindow(): number | undefined {
    return this.slidingWindow;
  }

  protected emitBranch(graph: GraphBuilder, normed: Value, given: BranchInput): Value {
    const { x, side, options } = given;
    const heads = emitHeads(graph, this.shape, this.weights, normed, side, options.cache);
    const out = emitLinear(graph, this.weights.output, heads);
    return graph.op('Reshape', [out, graph.op('Shape', [x])]);
  }
}

/** Key/value heads of an attention sublayer; undefined if it can only be removed as a whole. */
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

/** True if only the projections have per-head weights. */
function isPlainAttention(shape: AttentionShape, weights: AttentionWeights): boolean {
  const { queryKeyNorms, latentNorms, othersKeys, parts = [] } = weights;
  return (
    (latentNorms ?? othersKeys) === undefined &&
    !parts.some(({ dependsOnHeads }) => dependsOnHeads) &&
    (queryKeyNorms === undefined || queryKeyNorms.over === 'head') &&
    shape.latent === undefined &&
    shape.valueDim === shape.headDim &&
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
