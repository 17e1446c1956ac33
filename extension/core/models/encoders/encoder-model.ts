import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import type { BlockNames, InputPort, ModelOutput } from '../layered-model';
import { stream } from '../model-emitter';
import type { SideValue, Values } from '../model-emitter';
import type { ModelSummary } from '../model-summary';
import { BlockModel } from '../modules/block-model';
import { runningCosts } from '../modules/costs';
import type { Sublayer } from '../modules/sublayer-list';
import type { Width } from '../width-pruning/width';
import { emitNorms, emitNorm } from '../parts/norm';
import type { EmbeddingAndHead } from '../transformer/embedding-and-head';
import { partTensors, storedTensors } from '../transformer/part-tensors';
import type { RunningCosts } from '../transformer/tapped-part';
import { embeddingTensors, emitEmbedding, encoderInputs } from './encoder-embedding';
import { getEmbeddingAndHead } from './encoder-layout';
import type { EncoderLayout } from './encoder-layout';
import { emitActivation } from '../parts/activations';
import { emitLinearOver } from '../parts/linear';
import type { HeadReads } from './encoder-architecture';
import { tokensBeforePatches } from './find-embedding';
import type { EncoderEmbedding } from './find-embedding';
import { emitLength } from '../../onnx/emit-sequence';
import { DataType } from '../../onnx/graph-builder';
import type { SideInputs } from '../modules/sublayer';
import { emitDistanceBias } from '../parts/distance-bias';
import { emitGridRotation } from '../parts/grid-rotary';
import { emitSides, sideInputs, sideNames, listSideValues } from '../transformer/side-values';
import type { Sided } from '../transformer/side-values';
import { emitPositions } from './encoder-inputs';

/** Output of the model: scores, an embedding, or all last hidden states. */
function encoderOutput({ head }: Pick<EncoderLayout, 'head'>): ModelOutput {
  const embedding = head?.gives ?? (head?.pools === true ? 'sentence_embedding' : undefined);
  return {
    name: embedding ?? (head === undefined ? 'last_hidden_state' : 'logits'),
    givesScores: head !== undefined && embedding === undefined,
    seesWhole: true,
  };
}

/**
 * Emits the model's output for its last hidden states [batch, sequence, hidden]: the final norm, and the head if there
 * is one.
 */
function emitHead(
  graph: GraphBuilder,
  {
    embedding,
    finalNorm,
    head,
    norm,
  }: Pick<EncoderLayout, 'embedding' | 'finalNorm' | 'head' | 'norm'>,
  hidden: Value,
  side: Values,
): Value {
  const normed = finalNorm === undefined ? hidden : emitNorm(graph, norm, hidden, finalNorm);
  if (head === undefined) {
    return normed;
  }
  const pooled = graph.step(head.reads, () =>
    emitPooled(graph, head.reads, embedding, normed, side),
  );
  const read = head.norm === undefined ? pooled : emitNorm(graph, norm, pooled, head.norm);
  return head.steps.reduce((x, step) => {
    const linear = emitLinearOver(graph, step.linear, x);
    const active =
      step.activation === undefined ? linear : emitActivation(graph, step.activation, linear);
    return step.norm === undefined ? active : emitNorm(graph, norm, active, step.norm);
  }, read);
}

/** Emits the input of the head: pooled hidden states [batch, width], or all hidden states. */
function emitPooled(
  graph: GraphBuilder,
  reads: HeadReads,
  embedding: EncoderEmbedding,
  hidden: Value,
  { [endName]: end = '' }: Values,
): Value {
  switch (reads) {
    case 'all':
      return hidden;
    case 'first':
      return emitAt(graph, hidden, 0);
    case 'last':
      return emitAt(graph, hidden, -1);
    case 'end':
      return graph.op('ReduceSum', [graph.op('Mul', [hidden, end]), graph.ints([1])], {
        keepdims: 0,
      });
    case 'mean-of-two':
      return emitMeanBetween(graph, hidden, 0, 2);
    case 'mean':
      return emitMean(graph, embedding, hidden);
    case 'first-and-mean':
      return graph.op('Concat', [emitAt(graph, hidden, 0), emitMean(graph, embedding, hidden)], {
        axis: -1,
      });
  }
}

const emitAt = (graph: GraphBuilder, hidden: Value, position: number): Value =>
  graph.op('Gather', [hidden, graph.ints([position], [])], { axis: 1 });

/** The mean of the patches. */
function emitMean(graph: GraphBuilder, embedding: EncoderEmbedding, hidden: Value): Value {
  const from = embedding.kind === 'image' ? tokensBeforePatches(embedding) : 0;
  return emitMeanBetween(graph, hidden, from, Number.MAX_SAFE_INTEGER);
}

/** The mean of the positions from `from` to in front of `to`. */
function emitMeanBetween(graph: GraphBuilder, hidden: Value, from: number, to: number): Value {
  const isAll = from === 0 && to === Number.MAX_SAFE_INTEGER;
  const part = isAll
    ? hidden
    : graph.op('Slice', [hidden, graph.ints([from]), graph.ints([to]), graph.ints([1])]);
  return graph.op('ReduceMean', [part], { axes: [1], keepdims: 0 });
}

/** An encoder of text, images or sounds laid out from a checkpoint, as a residual stream. */
export class EncoderModel extends BlockModel<EncoderLayout, EncoderModel> {
  public readonly kind = 'encoder';
  public readonly inputs: readonly InputPort[] = encoderInputs(this.layout.embedding);
  public readonly output: ModelOutput = encoderOutput(this.layout);
  public readonly sideValues: readonly SideValue[] = encoderSideValues(this.layout);
  public readonly joinsExamples = true;
  protected readonly keepsCache = false;

  public get blockNames(): BlockNames {
    const { blocksPrefix: prefix, sizedByBlocks, sharedByBlocks } = this.layout;
    return { prefix, sizedByBlocks, sharedByBlocks };
  }

  public get sublayers(): readonly Sublayer[] {
    return this.layout.sublayers;
  }

  public get embeddingAndHead(): EmbeddingAndHead {
    return getEmbeddingAndHead(this.layout);
  }

  public get hidden(): number {
    return this.layout.attention.hiddenSize;
  }

  protected get prologueCosts(): RunningCosts {
    const { embedding } = this.embeddingAndHead;
    return runningCosts(this.prologueTensors, embedding === undefined ? [] : [embedding]);
  }

  protected get epilogueCosts(): RunningCosts {
    const linears = this.layout.head?.steps.map(({ linear }) => linear) ?? [];
    return runningCosts(this.epilogueTensors, linears);
  }

  protected override get epilogueSides(): readonly string[] {
    return headSideNames(this.layout);
  }

  public override widthOf(index: number): Width | undefined {
    return this.summary.fixed === undefined ? super.widthOf(index) : undefined;
  }

  /** Tables that all blocks share have an entry for each head. */
  protected override sharesHeads(): boolean {
    const { distanceBias, gatedBias, slopes } = this.layout;
    return (distanceBias ?? gatedBias ?? slopes) !== undefined;
  }

  public override stayingTensors(index: number): readonly LazyTensor[] {
    const { gatedBias } = this.layout;
    const { place, block } = this.at(index);
    const holdsTable = gatedBias !== undefined && block === 0 && place === 'attention';
    return [...super.stayingTensors(index), ...(holdsTable ? [gatedBias.table] : [])];
  }

  /** All tensors of the head, which may share the embedding. */
  public get headTensors(): LazyTensor[] {
    const { head } = this.layout;
    const steps = head?.steps ?? [];
    return [head?.norm, ...steps.flatMap(({ linear, norm }) => [linear, norm])].flatMap(
      storedTensors,
    );
  }

  /** True if the output is one embedding per text. */
  public get pools(): boolean {
    return this.layout.head?.pools === true;
  }

  /** The same model with all hidden states as output, if it pools them. */
  public get unpooled(): EncoderModel {
    const layout = { ...this.layout, head: undefined };
    return this.pools ? new EncoderModel(this.summary, this.files, layout) : this;
  }

  public sidesOf(index: number): readonly string[] {
    return encoderSideNames(this.layout, this.at(index));
  }

  /** The first hidden states, and side values of the blocks. */
  public emitInputs(graph: GraphBuilder): { state: Values; side: Values } {
    const { embedding, norm, startNorms } = this.layout;
    return graph.within('prologue', () => {
      const first = emitEmbedding(graph, embedding, norm);
      return {
        state: { [stream]: emitNorms(graph, norm, first, startNorms) },
        side: graph.step('side', () => emitEncoderSides(graph, this.layout, first)),
      };
    });
  }

  public emitSublayer(graph: GraphBuilder, index: number, state: Values, side: Values): Values {
    const sublayer = this.at(index);
    const own = encoderSideInputs(graph, this.layout, sublayer, side);
    return { [stream]: sublayer.emit(graph, { hidden: state[stream] ?? '', side: own }) };
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values): Values {
    return { [stream]: this.at(index).emitSkipped(graph, state[stream] ?? '') };
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value, side: Values): Value {
    return graph.within('epilogue', () => emitHead(graph, this.layout, hidden, side));
  }

  protected get outputShape(): readonly Dimension[] {
    const { head } = this.layout;
    const width = head?.steps.at(-1)?.linear.weight.shape[0] ?? this.hidden;
    const readsAll = head === undefined || head.reads === 'all';
    return readsAll ? ['batch', 'sequence', width] : ['batch', width];
  }

  protected get embeddingAndHeadTensors(): readonly LazyTensor[] {
    return [...this.prologueTensors, ...this.epilogueTensors];
  }

  private get prologueTensors(): LazyTensor[] {
    const { embedding, gatedBias, distanceBias, startNorms } = this.layout;
    return [
      ...embeddingTensors(embedding),
      ...[gatedBias, distanceBias].flatMap((bias) => bias?.table ?? []),
      ...startNorms.flatMap((norm) => partTensors(norm)),
    ];
  }

  private get epilogueTensors(): LazyTensor[] {
    return [...storedTensors(this.layout.finalNorm), ...this.headTensors];
  }

  public layoutWith(
    sublayers: readonly Sublayer[],
    { embedding: words, heads }: EmbeddingAndHead,
  ): EncoderLayout {
    const { embedding, head } = this.layout;
    const isText = embedding.kind === 'text' && words !== undefined;
    const steps = head?.steps.map((step, i) => ({ ...step, ...heads[i] })) ?? [];
    return {
      ...this.layout,
      sublayers,
      embedding: isText ? { ...embedding, words } : embedding,
      head: head && { ...head, steps },
    };
  }

  public remade(
    summary: ModelSummary,
    files: readonly string[],
    layout: EncoderLayout,
  ): EncoderModel {
    return new EncoderModel(summary, files, layout);
  }
}

/** Relative position bias, multiplied by the gate of each attention. */
const biasName = 'bias';

/** 1 for the token that a text ends with, 0 for others. */
const endName = 'end';

/** Parts of a text encoder that its side values depend on. */
const sideLayout = (layout: EncoderLayout): Sided => ({ ...layout, seesWhole: !layout.causal });

/** Every side value of an encoder. */
function encoderSideValues(layout: EncoderLayout): SideValue[] {
  const { embedding, gatedBias } = layout;
  if (embedding.kind !== 'text') {
    const heads = gatedBias?.table.shape[1] ?? 1;
    return gatedBias === undefined
      ? []
      : [{ name: biasName, shape: ['side_batch', heads, 'sequence', 'sequence'] }];
  }
  const blockSides = listSideValues(sideLayout(layout)).map(({ name, shape }) => ({
    name,
    shape: shape.map((size) => (size === 'total' ? 'sequence' : size)),
  }));
  const headSides = headSideNames(layout).map((name) => ({
    name,
    shape: ['side_batch', 'sequence', 1],
  }));
  return [...blockSides, ...headSides];
}

/** Names of the side values that the head needs. */
function headSideNames({ head }: Pick<EncoderLayout, 'head'>): string[] {
  return head?.reads === 'end' ? [endName] : [];
}

/** Names of the side values that a sublayer needs. */
function encoderSideNames(layout: EncoderLayout, sublayer: Sublayer): string[] {
  if (layout.embedding.kind === 'text') {
    return sideNames(sideLayout(layout), sublayer);
  }
  return layout.gatedBias !== undefined && sublayer.reach !== undefined ? [biasName] : [];
}

/** Emits all side inputs of an encoder (masks, position biases, rotary tables) for the first hidden states [batch, sequence, hidden], by name. */
function emitEncoderSides(graph: GraphBuilder, layout: EncoderLayout, hidden: Value): Values {
  const { embedding, gatedBias, rotaries } = layout;
  if (embedding.kind !== 'text') {
    return gatedBias === undefined
      ? {}
      : {
          [biasName]: emitDistanceBias(graph, gatedBias, emitAhead(graph, hidden)),
        };
  }
  const [inputIds, attentionMask] = ['input_ids', 'attention_mask'] as const;
  const positionIds =
    rotaries.size === 0
      ? ''
      : graph.op('Unsqueeze', [emitPositions(graph, undefined, inputIds), graph.ints([0])]);
  const sides = emitSides(graph, sideLayout(layout), { inputIds, attentionMask, positionIds });
  const { end } = layout.head ?? {};
  return end === undefined ? sides : { ...sides, [endName]: emitEnd(graph, inputIds, end) };
}

/** Emits where `ids` [batch, sequence] first are `end`: float [batch, sequence, 1]. */
function emitEnd(graph: GraphBuilder, ids: Value, end: number | 'largest'): Value {
  const isEnd = end === 'largest' ? ids : graph.op('Equal', [ids, graph.ints([end], [])]);
  const found = graph.op('ArgMax', [graph.op('Cast', [isEnd], { to: DataType.FLOAT })], {
    axis: 1,
  });
  const isThere = graph.op('Equal', [emitPositions(graph, undefined, ids), found]);
  return graph.op('Unsqueeze', [
    graph.op('Cast', [isThere], { to: DataType.FLOAT }),
    graph.ints([2]),
  ]);
}

/** Returns the side values that a sublayer reads. */
function encoderSideInputs(
  graph: GraphBuilder,
  layout: EncoderLayout,
  sublayer: Sublayer,
  side: Values,
): SideInputs {
  const { embedding, gatedBias, gridRotary } = layout;
  if (embedding.kind === 'text') {
    return sideInputs(sideLayout(layout), sublayer, side);
  }
  if (sublayer.reach === undefined) {
    return {};
  }
  const { [biasName]: mask = '' } = side;
  return {
    ...(gatedBias === undefined ? {} : { mask }),
    ...(gridRotary === undefined ? {} : { rotation: emitGridRotation(graph, gridRotary) }),
  };
}

/** Difference of positions for each pair: int64 [sequence, sequence]. */
function emitAhead(graph: GraphBuilder, hidden: Value): Value {
  const size = emitLength(graph, hidden, 1);
  const places = graph.op('Range', [
    graph.ints([0], []),
    graph.op('Squeeze', [size]),
    graph.ints([1], []),
  ]);
  return graph.op('Sub', [places, graph.op('Unsqueeze', [places, graph.ints([1])])]);
}
