import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitAttention } from '../parts/attention';
import { emitExperts, keepExperts } from '../parts/experts';
import { emitMixer } from '../parts/mixers/mixer';
import { emitFeedforward } from '../parts/feedforward';
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
import { emitLinear, emitLinearOver, emitOutputs, emitTableRows } from '../parts/linear';
import { emitNorm, emitNorms, emitSoftCap } from '../parts/norm';
import type { ModelSummary } from '../model-summary';
import { outerMatricesOf } from './outer-matrices';
import { emitPatch } from '../patch/symbolic-patch';
import type { SymbolicPatch } from '../patch/symbolic-patch';
import { patchModuleOf, withPatches } from '../patch/patched-layout';
import { requireRunnableQuantization } from '../quantized/quantization';
import { requireRunnableTensors } from './runnable';
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
  withoutSumNorms,
} from './sublayer-tensors';
import { storedTensors, partTensors } from './part-tensors';
import type { ExpertTensors } from './expert-tensors';
import { attentionSide, emitSides, sideNamesOf, sideValuesOf, tokensName } from './side-values';
import { routedStep, tappedPart } from './tapped-part';
import type { BuilderPart } from './tapped-part';
import { idOfSublayer, outerOf, placeOf } from './transformer-layout';
import type { TransformerLayout, TransformerSublayer } from './transformer-layout';
import {
  epiloguePart,
  expertMask,
  nextStream,
  prologuePart,
  skippedPart,
  sublayerPart,
  tokenInputs,
} from './transformer-parts';
import { emitPlaces } from '../parts/places';

/** The block's input, which the second of two branches reads that run in parallel. */
const blockInput = 'input';

/** A decoder-only transformer laid out from a checkpoint, as a residual stream. */
export class TransformerModel implements LayeredModel, ModelEmitter {
  public readonly kind = 'decoder';
  public readonly inputs: readonly InputPort[] = tokenInputs;
  public readonly output: ModelOutput = { name: 'logits', givesScores: true };
  public readonly joinsExamples = true;

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

  public get hiddenSize(): number {
    return this.layout.attention.hiddenSize;
  }

  public get vocabularySize(): number {
    return this.layout.vocabularySize;
  }

  public get prologue(): Step & { part: GraphPart } {
    const { embedding } = this.layout;
    return { part: prologuePart(this, lookupCosts(embedding)), next: { [stream]: stream } };
  }

  public get epilogue(): GraphPart {
    const { head } = this.layout;
    return epiloguePart(this, costsOf(storedTensors(head), [head]));
  }

  public stateNames(index: number): readonly string[] {
    return this.readsBlockInput(index) ? [stream, blockInput] : [stream];
  }

  public sublayer(index: number): Step & { part: BuilderPart } {
    const known = this.steps.get(index);
    if (known !== undefined) {
      return known;
    }
    const next = { ...this.skipped(index).next, [stream]: nextStream };
    const count = this.summary.sublayers[index]?.experts?.count;
    const mask = count === undefined ? {} : { mask: { input: expertMask, count } };
    const part = sublayerPart(this, index, mask.mask, runningCosts(this.at(index)));
    const step = { part, next, ...mask };
    this.steps.set(index, step);
    return step;
  }

  public skipped(index: number): Step {
    const kept = this.readsBlockInput(index + 1) ? { [blockInput]: stream } : {};
    const norms = stayingTensors(this.at(index));
    return norms.length === 0
      ? { next: { [stream]: stream, ...kept } }
      : {
          part: skippedPart(this, index, costsOf(norms, [])),
          next: { ...kept, [stream]: nextStream },
        };
  }

  public summed(index: number): Step & { part: BuilderPart } {
    const { summary, files, layout } = this;
    const sublayers = layout.sublayers.with(index, withoutSumNorms(this.at(index)));
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

  public emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { state: Values; side: Values } {
    return graph.within('prologue', () => {
      const embedded = this.emitEmbedding(graph, inputs);
      const hidden = emitNorms(graph, this.layout.attention.norm, embedded, this.layout.startNorms);
      const side = emitSides(graph, this.layout, inputs);
      return { state: { [stream]: hidden }, side };
    });
  }

  public sidesOf(index: number): readonly string[] {
    return sideNamesOf(this.layout, this.at(index));
  }

  public emitSublayer(
    graph: GraphBuilder,
    index: number,
    state: Values,
    side: Values,
    { cache, expertMask: mask, keptExperts }: EmitOptions = {},
  ): Values {
    const sublayer = this.at(index);
    const { [stream]: hidden = '' } = state;
    return graph.within(idOfSublayer(sublayer), () => {
      const kept = this.readsBlockInput(index + 1) ? { [blockInput]: hidden } : {};
      if (sublayer.kind === 'patch') {
        const sum = emitPatch(graph, sublayer.patch, hidden, state[this.patchInput(index).value]);
        const { norm } = this.layout.attention;
        const next = emitNorms(graph, norm, sum, sublayer.weights.sumNorms);
        return { [stream]: next, ...kept };
      }
      const input = state[this.patchInput(index).value] ?? '';
      if (sublayer.kind === 'feedforward') {
        const { feedforward } = this.layout;
        return {
          [stream]: emitFeedforward(graph, feedforward, sublayer.weights, hidden, input),
        };
      }
      if (sublayer.kind === 'mixer') {
        const { mixer } = this.layout;
        if (mixer === undefined) {
          throw new Error('a model with mixers has their shape');
        }
        const tokens = side[tokensName] ?? '';
        const next = emitMixer(graph, mixer, sublayer.weights, hidden, tokens, input, cache);
        return { [stream]: next, ...kept };
      }
      if (sublayer.kind === 'expert') {
        const { shape, weights } =
          keptExperts === undefined
            ? sublayer
            : keepExperts(sublayer.shape, sublayer.weights, keptExperts);
        return { [stream]: emitExperts(graph, shape, weights, hidden, mask, input) };
      }
      const attention = { ...this.layout.attention, ...sublayer.heads };
      const sides = attentionSide(this.layout, sublayer, side);
      const next = emitAttention(graph, attention, sublayer.weights, hidden, sides, cache);
      return { [stream]: next, ...kept };
    });
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values): Values {
    const { [stream]: hidden = '' } = state;
    const kept = this.readsBlockInput(index + 1) ? { [blockInput]: hidden } : {};
    const { sumNorms } = this.at(index).weights;
    return { [stream]: emitNorms(graph, this.layout.attention.norm, hidden, sumNorms), ...kept };
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    const normed = this.emitFinalNorm(graph, hidden);
    return graph.within('epilogue', () =>
      this.scaled(graph, emitLinearOver(graph, this.layout.head, this.narrowed(graph, normed))),
    );
  }

  public emitFinalNorm(graph: GraphBuilder, hidden: Value): Value {
    const { attention, finalNorm } = this.layout;
    return graph.within('epilogue', () =>
      finalNorm === undefined ? hidden : emitNorm(graph, attention.norm, hidden, finalNorm),
    );
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
    const value = this.readsBlockInput(index) ? blockInput : stream;
    return { value, width: this.hiddenSize };
  }

  public requireRunnable(): void {
    requireRunnableQuantization(this.summary);
    const { embedding, positions, embeddingNorm, startNorms, projections, ...layout } = this.layout;
    const { finalNorm, head, sublayers } = layout;
    const used = [
      ...storedTensors(embedding),
      ...(positions !== undefined && 'weight' in positions ? [positions.weight] : []),
      ...partTensors(embeddingNorm),
      ...startNorms.flatMap((norm) => partTensors(norm)),
      ...storedTensors(projections?.in),
      ...storedTensors(projections?.out),
      ...partTensors(finalNorm),
      ...storedTensors(head),
      ...sublayers.flatMap((sublayer) => sublayerTensors(sublayer, storedTensors)),
    ];
    requireRunnableTensors(used);
  }

  /** Rows of the embedding, scaled, with what positions add, normed. */
  private emitEmbedding(graph: GraphBuilder, { inputIds, positionIds }: ModelInputs): Value {
    const { embedding, positions, embeddingNorm, normsWordsAlone, projections, scales, attention } =
      this.layout;
    const rows = emitTableRows(graph, embedding, inputIds);
    const scaled =
      scales.embedding === 1 ? rows : graph.op('Mul', [rows, graph.scalar(scales.embedding)]);
    const words =
      projections === undefined ? scaled : emitLinearOver(graph, projections.in, scaled);
    const normed = (x: Value): Value =>
      embeddingNorm === undefined ? x : emitNorm(graph, attention.norm, x, embeddingNorm);
    if (positions === undefined) {
      return normed(words);
    }
    const places = emitPlaces(graph, positions, positionIds, attention.hiddenSize);
    return normsWordsAlone
      ? graph.op('Add', [normed(words), places])
      : normed(graph.op('Add', [words, places]));
  }

  /** Whether sublayer `index` runs beside the one in front of it, on the same input. */
  private readsBlockInput(index: number): boolean {
    const { beside, sublayers } = this.layout;
    const [before, at] = [sublayers[index - 1], sublayers[index]];
    return at !== undefined && beside.includes(placeOf(at)) && before?.block === at.block;
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
