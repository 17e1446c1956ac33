import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import type { BlockNames, ExpertMask, InputPort, ModelOutput, Step } from '../layered-model';
import { stream, streamWidth } from '../model-emitter';
import type {
  SublayerCall,
  HeadOutputs,
  ModelEmitter,
  ModelInputs,
  SideValue,
  Values,
} from '../model-emitter';
import type { ModelSummary } from '../model-summary';
import { BlockModel } from '../modules/block-model';
import { runningCosts, lookupCosts } from '../modules/costs';
import { linearIfAny } from '../modules/sublayer';
import type { Sublayer } from '../modules/sublayer-list';
import type { Wiring } from '../modules/wiring';
import { emitEnds, emitPerLayer } from '../parts/block-end';
import type { Streams } from '../parts/block-end';
import { emitLinear } from '../parts/linear';
import { emitNorms } from '../parts/norm';
import { emitEnter } from '../parts/streams/altup';
import { emitJoined, emitSpread } from '../parts/streams/hyper-connections';
import { requireRunnableQuantization } from '../quantized/quantization';
import {
  otherStateValues,
  carriedStreamsReadBy,
  expectedBefore,
  stateOutputsAt,
  outputName,
} from './carried-streams';
import type { EmbeddingAndHead } from './embedding-and-head';
import { storedTensors } from './part-tensors';
import { outsideTensors, withPerLayer } from './runnable';
import {
  emitIds,
  emitSides,
  givesEmbedded,
  listSideValues,
  sideInputs,
  sideNames,
  sidesDependOnTokens,
} from './side-values';
import type { RunningCosts } from './tapped-part';
import type { TransformerLayout } from './transformer-layout';

/** Inputs of a language model: token ids, which of them count, and their positions. */
const tokenInputs: readonly InputPort[] = ['input_ids', 'attention_mask', 'position_ids'].map(
  (name) => ({ name, dtype: 'I64', shape: ['batch', 'sequence'] }),
);

/** The block's input, which the second of two parallel branches reads or is added to. */
const blockInput = 'input';

/** A decoder-only transformer laid out from a checkpoint, as a residual stream. */
export class TransformerModel
  extends BlockModel<TransformerLayout, TransformerModel>
  implements ModelEmitter
{
  public readonly kind = 'decoder';
  public readonly inputs: readonly InputPort[] = tokenInputs;
  public readonly output: ModelOutput = { name: 'logits', givesScores: true };
  protected readonly keepsCache = true;

  public override get emitter(): ModelEmitter {
    return this;
  }

  public get joinsExamples(): boolean {
    return !sidesDependOnTokens(this.layout);
  }

  public get hiddenSize(): number {
    return this.layout.attention.hiddenSize;
  }

  public get streamWidth(): number {
    return this.hiddenSize * (this.layout.streams?.count ?? 1);
  }

  public get vocabularySize(): number {
    return this.layout.vocabularySize;
  }

  public get hidden(): number {
    return this.hiddenSize;
  }

  public get sublayers(): readonly Sublayer[] {
    return this.layout.sublayers;
  }

  public get embeddingAndHead(): EmbeddingAndHead {
    const { embedding, epilogue } = this.layout;
    return epilogue.withEmbedding(embedding.table);
  }

  protected get embeddingAndHeadTensors(): readonly LazyTensor[] {
    return outsideTensors(this.layout);
  }

  protected get prologueCosts(): RunningCosts {
    return withPerLayer(lookupCosts(this.layout.embedding.table), this.layout);
  }

  protected get epilogueCosts(): RunningCosts {
    const { head } = this.layout.epilogue;
    return runningCosts(storedTensors(head?.linear), linearIfAny(head?.linear));
  }

  protected get outputShape(): readonly Dimension[] {
    return ['batch', 'sequence', this.vocabularySize];
  }

  protected override shapeOf(): readonly Dimension[] {
    return ['batch', 'sequence', streamWidth(this)];
  }

  public override stateNames(index: number): readonly string[] {
    return [
      stream,
      ...(this.parallel(index) === undefined ? [] : [blockInput]),
      ...carriedStreamsReadBy(this.at(index)),
      ...expectedBefore(this.layout, index + 1),
    ];
  }

  public override skippedStateNames(index: number): readonly string[] {
    return [this.sumInput(index), ...expectedBefore(this.layout, index + 1)];
  }

  public override givenAt(boundary: number): readonly string[] {
    return stateOutputsAt(this.layout, boundary);
  }

  public override passedOn(index: number): string {
    return this.sumInput(index);
  }

  public override expertMask(index: number): ExpertMask | undefined {
    const count = this.summary.sublayers[index]?.experts?.count;
    return count === undefined ? undefined : { input: 'experts', count };
  }

  public override nextState(boundary: number, next: string): Step['next'] {
    return {
      ...(this.parallel(boundary) === undefined ? {} : { [blockInput]: stream }),
      ...this.besideNext(boundary, next),
      [stream]: next,
    };
  }

  private besideNext(boundary: number, current: string): Step['next'] {
    return otherStateValues(this.layout, boundary, {
      current,
      before: (name) => name,
      within: ({ name }) => outputName(name),
      expected: outputName,
    });
  }

  public get sideValues(): readonly SideValue[] {
    return listSideValues(this.layout);
  }

  public get blockNames(): BlockNames {
    const { blocksPrefix: prefix, sharedModules } = this.layout;
    return { prefix, sharedModules };
  }

  public emitInputs(graph: GraphBuilder): { state: Values; side: Values } {
    const [inputIds = '', attentionMask = '', positionIds = ''] = this.inputs.map(
      ({ name }) => name,
    );
    return this.emitPrologue(graph, { inputIds, attentionMask, positionIds });
  }

  public emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { state: Values; side: Values } {
    return graph.within('prologue', () => {
      const { attention, feedforward, perLayer, startEnds, ...layout } = this.layout;
      const embedded = layout.embedding.emit(graph, inputs.inputIds, () => inputs.positionIds);
      const side = {
        ...graph.step('side', () => emitSides(graph, this.layout, inputs)),
        ...emitIds(graph, this.layout, inputs),
        ...(givesEmbedded(this.layout) ? { embedded } : {}),
        ...(perLayer === undefined
          ? {}
          : emitPerLayer(graph, attention.norm, perLayer, inputs.inputIds, embedded)),
      };
      const first = this.emitStreams(
        graph,
        emitNorms(graph, attention.norm, embedded, layout.startNorms),
      );
      // Streams before the ends of removed blocks.
      const seen = new Map<number, Value>();
      const next = emitEnds(graph, feedforward, startEnds, first, side, seen);
      return { state: { [stream]: next.hidden, ...this.besideValues(0, {}, next, seen) }, side };
    });
  }

  /** Emits the streams of a model that has several from `hidden`. */
  private emitStreams(graph: GraphBuilder, hidden: Value): Streams {
    const { altUp, streams } = this.layout;
    const expected =
      altUp === undefined ? [] : graph.step('streams', () => emitEnter(graph, altUp, hidden));
    const all =
      streams === undefined
        ? hidden
        : graph.step('streams', () => emitSpread(graph, streams, hidden));
    return { hidden: all, expected };
  }

  public sidesOf(index: number): readonly string[] {
    return sideNames(this.layout, this.at(index));
  }

  public emitSublayer(...[graph, index, state, side, options = {}]: SublayerCall): Values {
    const sublayer = this.at(index);
    const own = sideInputs(this.layout, sublayer, side);
    const [carried] = carriedStreamsReadBy(sublayer);
    const hidden = sublayer.emit(graph, {
      hidden: state[this.sumInput(index)] ?? '',
      input: state[this.branchInput(index)] ?? '',
      side: carried === undefined ? own : { ...own, othersStream: state[carried] ?? '' },
      streams: this.layout.streams,
      options,
    });
    return this.emitBehind(graph, index, state, side, hidden);
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values, side: Values): Values {
    const normed = this.at(index).emitSkipped(graph, state[this.sumInput(index)] ?? '');
    return this.emitBehind(graph, index, state, side, normed);
  }

  /**
   * Emits the block ends after sublayer `index` and returns the state. `hidden` is the stream
   * before them.
   */
  private emitBehind(
    graph: GraphBuilder,
    index: number,
    state: Values,
    side: Values,
    hidden: Value,
  ): Values {
    const seen = new Map<number, Value>();
    const { layout } = this;
    const expected = expectedBefore(layout, index + 1).map((name) => state[name] ?? '');
    const before = { hidden, expected };
    const next = emitEnds(graph, layout.feedforward, this.at(index).ends, before, side, seen);
    return {
      [stream]: next.hidden,
      ...(this.parallel(index + 1) === undefined ? {} : { [blockInput]: state[stream] ?? '' }),
      ...this.besideValues(index + 1, state, next, seen),
    };
  }

  private besideValues(
    boundary: number,
    state: Values,
    { hidden, expected }: Streams,
    seen: ReadonlyMap<number, Value>,
  ): Values {
    return otherStateValues(this.layout, boundary, {
      current: hidden,
      before: (name) => state[name] ?? '',
      within: ({ block }) => seen.get(block) ?? hidden,
      expected: (_, index) => expected[index] ?? '',
    });
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    const normed = this.emitFinalNorm(graph, hidden);
    return graph.within('epilogue', () => this.layout.epilogue.emitLogits(graph, normed));
  }

  public emitFinalNorm(graph: GraphBuilder, hidden: Value): Value {
    const { attention, epilogue, streams } = this.layout;
    return graph.within('epilogue', () =>
      epilogue.emitNorm(
        graph,
        streams === undefined ? hidden : emitJoined(graph, attention.norm, streams, hidden),
      ),
    );
  }

  public emitHead(
    graph: GraphBuilder,
    rows: Value,
    outputs: HeadOutputs = (head, own) => emitLinear(graph, head, own),
  ): Value {
    return graph.within('epilogue', () => this.layout.epilogue.emitLogits(graph, rows, outputs));
  }

  public get headIsLinear(): boolean {
    return this.layout.epilogue.isLinear;
  }

  protected override sharesHeads(index: number): boolean {
    const { slopes, sublayers } = this.layout;
    const { block } = this.at(index);
    return slopes !== undefined || sublayers.some(({ keysBlock }) => keysBlock === block);
  }

  public layoutWith(
    sublayers: readonly Sublayer[],
    embeddingAndHead: EmbeddingAndHead,
  ): TransformerLayout {
    const { embedding, epilogue } = this.layout;
    const { embedding: table = embedding.table, heads } = embeddingAndHead;
    return {
      ...this.layout,
      sublayers,
      embedding: embedding.withTable(table),
      epilogue: epilogue.withHead(heads[0]?.linear),
    };
  }

  public remade(
    summary: ModelSummary,
    files: readonly string[],
    layout: TransformerLayout,
  ): TransformerModel {
    return new TransformerModel(summary, files, layout);
  }

  public override branchInput(index: number): string {
    return this.parallel(index) === 'input' ? blockInput : stream;
  }

  public override requireRunnable(): void {
    requireRunnableQuantization(this.summary);
    super.requireRunnable();
  }

  /** Role of the block's input in sublayer `index`, if it runs in parallel with the one before it. */
  private parallel(index: number): Wiring['parallel'] {
    return this.sublayers[index]?.weights.parallel;
  }

  /** Name of the value that the output of sublayer `index` is added to. */
  private sumInput(index: number): string {
    return this.parallel(index) === 'sum' ? blockInput : stream;
  }
}
