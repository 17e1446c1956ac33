import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitEnds, endLinears } from '../parts/block-end';
import type { Streams } from '../parts/block-end';
import { besideStream, carriedBy, expectedBefore, outputName } from './carried-streams';
import { emitStart } from './emit-embedding';
import { emitSublayer } from './emit-sublayer';
import type {
  GraphPart,
  InputPort,
  LayeredModel,
  ModelOutput,
  PatchInput,
  Step,
  TappedStep,
} from '../layered-model';
import { linearLayersOf, roundingOfForms, withFormFiles, withForms } from './linear-layers';
import type { LinearLayer, MatrixEncoding, OuterMatrix } from '../matrix-encoding';
import { stream } from '../model-emitter';
import type { EmitOptions, ModelEmitter, ModelInputs, SideValue, Values } from '../model-emitter';
import { emitLinear, emitLinearOver, emitOutputs } from '../parts/linear';
import { emitNorm, emitNorms, emitSoftCap } from '../parts/norm';
import { emitJoined } from '../parts/streams/hyper-connections';
import type { ModelSummary } from '../model-summary';
import { outerMatricesOf } from './outer-matrices';
import type { SharedModules } from '../shared-modules';
import type { SymbolicPatch } from '../patch/symbolic-patch';
import { patchModuleOf, withPatches } from '../patch/patched-layout';
import { requireRunnableQuantization } from '../quantized/quantization';
import { requireRunnableTensors, usedTensors } from './runnable';
import { widthOf } from '../narrow/width';
import type { Width } from '../narrow/width';
import {
  costsOf,
  expertTensors,
  lookupCosts,
  outputTensors,
  runningCosts,
  stayingTensors,
  sublayerTensors,
  upToSum,
  withPerLayer,
} from './sublayer-tensors';
import { storedTensors } from './part-tensors';
import type { ExpertTensors } from './part-tensors';
import { sideNamesOf, sidesDependOnTokens, sideValuesOf } from './side-values';
import { routedStep, tappedPart } from './tapped-part';
import type { BuilderPart } from './tapped-part';
import { outerOf } from './transformer-layout';
import type { TransformerLayout } from './transformer-layout';
import { placeOf } from './transformer-sublayer';
import type { TransformerSublayer } from './transformer-sublayer';
import {
  epiloguePart,
  expertMask,
  nextStream,
  prologuePart,
  skippedPart,
  sublayerPart,
  tokenInputs,
} from './transformer-parts';

/** The block's input, which the second of two branches reads that run in parallel. */
const blockInput = 'input';

/** A decoder-only transformer laid out from a checkpoint, as a residual stream. */
export class TransformerModel implements LayeredModel, ModelEmitter {
  public readonly kind = 'decoder';
  public readonly inputs: readonly InputPort[] = tokenInputs;
  public readonly output: ModelOutput = { name: 'logits', givesScores: true };

  public constructor(
    public readonly summary: ModelSummary,
    public readonly files: readonly string[],
    public readonly layout: TransformerLayout,
  ) {}

  /** By sublayer: asked for in every run of one. */
  private readonly steps = new Map<number, Step & { part: BuilderPart }>();

  public get emitter(): ModelEmitter {
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

  public get prologue(): Step & { part: GraphPart } {
    const { embedding } = this.layout;
    const costs = withPerLayer(lookupCosts(embedding), this.layout);
    const next = { ...this.besideNext(0, stream), [stream]: stream };
    return { part: prologuePart(this, costs), next };
  }

  public get epilogue(): GraphPart {
    const { head } = this.layout;
    return epiloguePart(this, costsOf(storedTensors(head), [head]));
  }

  public stateNames(index: number): readonly string[] {
    const beside = this.readsBlockInput(index) ? [blockInput] : [];
    return [
      stream,
      ...beside,
      ...carriedBy(this.at(index)),
      ...expectedBefore(this.layout, index + 1),
    ];
  }

  public sublayer(index: number): Step & { part: BuilderPart } {
    const known = this.steps.get(index);
    if (known !== undefined) {
      return known;
    }
    const next = this.nextOf(index, nextStream);
    const count = this.summary.sublayers[index]?.experts?.count;
    const mask = count === undefined ? {} : { mask: { input: expertMask, count } };
    const part = sublayerPart(this, index, mask.mask, runningCosts(this.at(index)));
    const step = { part, next, ...mask };
    this.steps.set(index, step);
    return step;
  }

  public skipped(index: number): Step {
    const staying = stayingTensors(this.at(index));
    return staying.length === 0
      ? { next: this.nextOf(index, this.sumInput(index)) }
      : {
          part: skippedPart(this, index, costsOf(staying, endLinears(this.at(index).ends))),
          next: this.nextOf(index, nextStream),
        };
  }

  /** Where the values of the state behind sublayer `index` come from, the stream being `next`. */
  private nextOf(index: number, next: string): Step['next'] {
    return {
      ...(this.readsBlockInput(index + 1) ? { [blockInput]: stream } : {}),
      ...this.besideNext(index + 1, next),
      [stream]: next,
    };
  }

  private besideNext(boundary: number, current: string): Step['next'] {
    return besideStream(this.layout, boundary, {
      current,
      before: (name) => name,
      within: ({ name }) => outputName(name),
      expected: outputName,
    });
  }

  public summed(index: number): Step & { part: BuilderPart } {
    const { summary, files, layout } = this;
    const sublayers = layout.sublayers.with(index, upToSum(this.at(index)));
    const step = new TransformerModel(summary, files, { ...layout, sublayers }).sublayer(index);
    return { ...step, part: { ...step.part, key: `${step.part.key}.summed` } };
  }

  public streamNames(): { before: string; after: string } {
    return { before: stream, after: stream };
  }

  public get sideNames(): readonly string[] {
    return this.sideValues.map(({ name }) => name);
  }

  public get sideValues(): readonly SideValue[] {
    return sideValuesOf(this.layout);
  }

  public get blocksPrefix(): string {
    return this.layout.blocksPrefix;
  }

  public get sharedModules(): SharedModules | undefined {
    return this.layout.sharedModules;
  }

  public emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { state: Values; side: Values } {
    const seen = new Map<number, Value>();
    const { side, ...next } = emitStart(graph, this.layout, inputs, seen);
    return { state: { [stream]: next.hidden, ...this.besideValues(0, {}, next, seen) }, side };
  }

  public sidesOf(index: number): readonly string[] {
    return sideNamesOf(this.layout, this.at(index));
  }

  public emitSublayer(
    graph: GraphBuilder,
    index: number,
    state: Values,
    side: Values,
    options: EmitOptions = {},
  ): Values {
    const sublayer = this.at(index);
    const hidden = emitSublayer(graph, this.layout, sublayer, {
      hidden: state[this.sumInput(index)] ?? '',
      input: state[this.patchInput(index).value] ?? '',
      state,
      side,
      options,
    });
    return this.emitBehind(graph, index, state, side, hidden);
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values, side: Values): Values {
    const { sumNorms } = this.at(index).weights;
    const hidden = state[this.sumInput(index)] ?? '';
    const normed = emitNorms(graph, this.layout.attention.norm, hidden, sumNorms);
    return this.emitBehind(graph, index, state, side, normed);
  }

  /** The state behind sublayer `index`, in front of whose ends of blocks the stream is `hidden`. */
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
      ...(this.readsBlockInput(index + 1) ? { [blockInput]: state[stream] ?? '' } : {}),
      ...this.besideValues(index + 1, state, next, seen),
    };
  }

  private besideValues(
    boundary: number,
    state: Values,
    { hidden, expected }: Streams,
    seen: ReadonlyMap<number, Value>,
  ): Values {
    return besideStream(this.layout, boundary, {
      current: hidden,
      before: (name) => state[name] ?? '',
      within: ({ block }) => seen.get(block) ?? hidden,
      expected: (_, index) => expected[index] ?? '',
    });
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    const normed = this.emitFinalNorm(graph, hidden);
    return graph.within('epilogue', () =>
      this.scaled(graph, emitLinearOver(graph, this.layout.head, this.narrowed(graph, normed))),
    );
  }

  public emitFinalNorm(graph: GraphBuilder, hidden: Value): Value {
    const { attention, finalNorm, streams } = this.layout;
    return graph.within('epilogue', () => {
      const one = streams ? emitJoined(graph, attention.norm, streams, hidden) : hidden;
      return finalNorm === undefined ? one : emitNorm(graph, attention.norm, one, finalNorm);
    });
  }

  public emitHead(graph: GraphBuilder, rows: Value, ids?: Value): Value {
    const { head } = this.layout;
    return graph.within('epilogue', () => {
      const own = this.narrowed(graph, rows);
      return this.scaled(
        graph,
        ids === undefined ? emitLinear(graph, head, own) : emitOutputs(graph, head, own, ids),
      );
    });
  }

  /** What the head reads, of what the final norm gives. */
  private narrowed(graph: GraphBuilder, normed: Value): Value {
    const { projections } = this.layout;
    return projections === undefined ? normed : emitLinearOver(graph, projections.out, normed);
  }

  public get headIsLinear(): boolean {
    const { head, scales } = this.layout;
    const { bias, form } = head;
    return bias === undefined && form === undefined && scales.logitSoftCap === undefined;
  }

  public expertTensors(index: number): ExpertTensors | undefined {
    return expertTensors(this.at(index));
  }

  public width(index: number): Width | undefined {
    return widthOf(this.layout, index);
  }

  public outputTensors(index: number): readonly LazyTensor[] {
    return outputTensors(this.at(index));
  }

  public stayingTensors(index: number): readonly LazyTensor[] {
    return stayingTensors(this.at(index));
  }

  public sublayerTensors(index: number): readonly LazyTensor[] {
    return sublayerTensors(this.at(index));
  }

  public get roundingError(): number | undefined {
    return roundingOfForms(this.layout.sublayers, outerOf(this.layout));
  }

  public linearLayers(index: number): readonly LinearLayer[] {
    return linearLayersOf(this.at(index), index, this.layout.feedforward.gated);
  }

  public get outerMatrices(): readonly OuterMatrix[] {
    return outerMatricesOf(outerOf(this.layout));
  }

  public tapped(index: number): TappedStep {
    const step = this.sublayer(index);
    return { ...step, ...tappedPart(step.part, this.linearLayers(index)) };
  }

  public routed(index: number): TappedStep | undefined {
    return routedStep(this.sublayer(index), this.at(index), this.hiddenSize);
  }

  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): TransformerModel {
    const { layout } = this;
    const { summary, sublayers, outer } = withForms(
      this.summary,
      { ...layout, outer: outerOf(layout), keepsCache: true },
      forms,
    );
    return new TransformerModel(summary, withFormFiles(this.files, forms), {
      ...layout,
      sublayers,
      embedding: outer.embedding ?? layout.embedding,
      head: outer.heads[0]?.linear ?? layout.head,
    });
  }

  public withPatches(patches: ReadonlyMap<string, SymbolicPatch>): TransformerModel {
    const { summary, layout, files } = withPatches(this, patches, true);
    return new TransformerModel(summary, files, layout);
  }

  public patchModule(id: string): string {
    return patchModuleOf(this.layout.patchModules, id);
  }

  public patchInput(index: number): PatchInput {
    const value = this.readsBlockInput(index) && !this.layout.isAside ? blockInput : stream;
    return { value, width: this.hiddenSize };
  }

  public requireRunnable(): void {
    requireRunnableQuantization(this.summary);
    requireRunnableTensors(usedTensors(this.layout));
  }

  /** Whether sublayer `index` runs beside the one in front of it, on the same input. */
  private readsBlockInput(index: number): boolean {
    const { beside, sublayers } = this.layout;
    const [before, at] = [sublayers[index - 1], sublayers[index]];
    return at !== undefined && beside.includes(placeOf(at)) && before?.block === at.block;
  }

  /** What sublayer `index` is added to. */
  private sumInput(index: number): string {
    return this.readsBlockInput(index) && this.layout.isAside ? blockInput : stream;
  }

  private scaled(graph: GraphBuilder, logits: Value): Value {
    const { scales } = this.layout;
    const scaled =
      scales.logits === 1 ? logits : graph.op('Mul', [logits, graph.scalar(scales.logits)]);
    return emitSoftCap(graph, scaled, scales.logitSoftCap);
  }

  private at(index: number): TransformerSublayer {
    const sublayer = this.layout.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.layout.sublayers.length}`);
    }
    return sublayer;
  }
}
