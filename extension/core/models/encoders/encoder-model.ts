import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitAttention } from '../parts/attention';
import { emitExperts } from '../parts/experts';
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
import {
  linearLayersOf,
  roundingOfForms,
  withFormFiles,
  withForms,
} from '../transformer/linear-layers';
import type { LinearLayer, MatrixEncoding, OuterMatrix } from '../matrix-encoding';
import { outerMatricesOf } from '../transformer/outer-matrices';
import type { OuterLinears } from '../transformer/outer-matrices';
import type { SideValue, Values } from '../model-emitter';
import type { ModelSummary } from '../model-summary';
import { attentionWidth, feedforwardWidth } from '../narrow/width';
import type { Width } from '../narrow/width';
import { emitNorms } from '../parts/norm';
import { patchModuleOf, withPatches } from '../patch/patched-layout';
import { emitPatch } from '../patch/symbolic-patch';
import type { SymbolicPatch } from '../patch/symbolic-patch';
import { requireRunnableTensors } from '../transformer/runnable';
import {
  costsOf,
  outputTensors,
  runningCosts,
  stayingTensors,
  sublayerTensors,
  upToSum,
} from '../transformer/sublayer-tensors';
import { storedTensors, partTensors } from '../transformer/part-tensors';
import { declareInputs, emittedPart, tappedPart } from '../transformer/tapped-part';
import type { BuilderPart, RunningCosts } from '../transformer/tapped-part';
import { idOfSublayer } from '../transformer/transformer-sublayer';
import type { TransformerSublayer } from '../transformer/transformer-sublayer';
import { embeddingTensors, emitEmbedding, inputsOf } from './encoder-embedding';
import { emitHead, outputOf } from './encoder-head';
import {
  emitEncoderSides,
  encoderAttentionSide,
  encoderSideNames,
  encoderSideValues,
  headSideNames,
} from './encoder-sides';
import { outerOf } from './encoder-layout';
import type { EncoderLayout } from './encoder-layout';

const stream = 'hidden';
const nextStream = 'next';
const rows = ['batch', 'sequence'];

/** An encoder of text, images or sounds laid out from a checkpoint, as a residual stream. */
export class EncoderModel implements LayeredModel {
  public readonly kind = 'encoder';
  public readonly inputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly sideNames: readonly string[];
  private readonly sideValues: readonly SideValue[];
  public readonly joinsExamples = true;

  public constructor(
    public readonly summary: ModelSummary,
    public readonly files: readonly string[],
    public readonly layout: EncoderLayout,
  ) {
    this.inputs = inputsOf(layout.embedding);
    this.sideValues = encoderSideValues(layout);
    this.sideNames = this.sideValues.map(({ name }) => name);
    this.output = outputOf(layout);
  }

  public get sizedByBlocks(): readonly string[] {
    return this.layout.sizedByBlocks;
  }

  public get sharedByBlocks(): readonly string[] {
    return this.layout.sharedByBlocks;
  }

  public get blocksPrefix(): string {
    return this.layout.blocksPrefix;
  }

  public get prologue(): Step & { part: GraphPart } {
    const part = this.part(
      'prologue',
      costsOf(this.embeddingTensors(), this.outer.embedding ? [this.outer.embedding] : []),
      this.inputs.map(({ name }) => name),
      [stream, ...this.sideNames],
      (graph) => {
        declareInputs(graph, this.inputs);
        const { hidden, side } = this.emitPrologue(graph);
        graph.output(stream, hidden, DataType.FLOAT, this.streamShape);
        for (const { name, shape } of this.sideValues) {
          graph.output(name, side[name] ?? name, DataType.FLOAT, shape);
        }
      },
    );
    return { part, next: { [stream]: stream } };
  }

  public sublayer(index: number): Step & { part: BuilderPart } {
    return this.over(this.idAt(index), this.at(index));
  }

  public width(index: number): Width | undefined {
    const sublayer = this.at(index);
    const { attention, feedforward, distanceBias, gatedBias, slopes } = this.layout;
    if (this.summary.fixed !== undefined) {
      return undefined;
    }
    if (sublayer.kind === 'feedforward') {
      return feedforwardWidth(feedforward, sublayer.weights);
    }
    // What all blocks share is of each head.
    return sublayer.kind === 'attention' && (distanceBias ?? gatedBias ?? slopes) === undefined
      ? attentionWidth({ ...attention, ...sublayer.heads }, sublayer.weights)
      : undefined;
  }

  public summed(index: number): Step & { part: BuilderPart } {
    return this.over(`${this.idAt(index)}.summed`, upToSum(this.at(index)));
  }

  private over(key: string, sublayer: TransformerSublayer): Step & { part: BuilderPart } {
    const needed = encoderSideNames(this.layout, sublayer);
    const part = this.part(
      key,
      runningCosts(sublayer),
      [stream, ...needed],
      [nextStream],
      (graph) => {
        const { hidden, byName } = this.declareStream(graph, needed);
        const next = this.emitSublayer(graph, sublayer, hidden, byName);
        graph.output(nextStream, next, DataType.FLOAT, this.streamShape);
      },
    );
    return { part, next: { [stream]: nextStream } };
  }

  public skipped(index: number): Step {
    const { sumNorms = [] } = this.at(index).weights;
    if (sumNorms.length === 0) {
      return { next: { [stream]: stream } };
    }
    const costs = costsOf(stayingTensors(this.at(index)), []);
    const part = this.part(
      `${this.idAt(index)}.skipped`,
      costs,
      [stream],
      [nextStream],
      (graph) => {
        const hidden = graph.input(stream, DataType.FLOAT, this.streamShape);
        const next = emitNorms(graph, this.layout.norm, hidden, sumNorms);
        graph.output(nextStream, next, DataType.FLOAT, this.streamShape);
      },
    );
    return { part, next: { [stream]: nextStream } };
  }

  public streamNames(): { before: string; after: string } {
    return { before: stream, after: stream };
  }

  public get epilogue(): GraphPart {
    const { name } = this.output;
    const linears = this.layout.head?.steps.map(({ linear }) => linear) ?? [];
    const costs = costsOf(this.endTensors(), linears);
    const needed = headSideNames(this.layout);
    return this.part('epilogue', costs, [stream, ...needed], [name], (graph) => {
      const { hidden, byName } = this.declareStream(graph, needed);
      const output = this.emitEpilogue(graph, hidden, byName);
      graph.output(name, output, DataType.FLOAT, this.outputShape);
    });
  }

  public outputTensors(index: number): readonly LazyTensor[] {
    return outputTensors(this.at(index));
  }

  public stayingTensors(index: number): readonly LazyTensor[] {
    const { gatedBias } = this.layout;
    const { kind, block } = this.at(index);
    const holdsTable = gatedBias !== undefined && block === 0 && kind !== 'feedforward';
    return [...stayingTensors(this.at(index)), ...(holdsTable ? [gatedBias.table] : [])];
  }

  public sublayerTensors(index: number): readonly LazyTensor[] {
    return sublayerTensors(this.at(index));
  }

  public get roundingError(): number | undefined {
    return roundingOfForms(this.layout.sublayers, this.outer);
  }

  public linearLayers(index: number): readonly LinearLayer[] {
    return linearLayersOf(this.at(index), index, this.layout.feedforward.gated);
  }

  public get outerMatrices(): readonly OuterMatrix[] {
    return outerMatricesOf(this.outer);
  }

  public tapped(index: number): TappedStep {
    const step = this.sublayer(index);
    return { ...step, ...tappedPart(step.part, this.linearLayers(index)) };
  }

  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): EncoderModel {
    const { summary, layout } = this;
    const { embedding, head } = layout;
    const formed = withForms(summary, { ...layout, outer: this.outer, keepsCache: false }, forms);
    const { embedding: words, heads } = formed.outer;
    const isText = embedding.kind === 'text' && words !== undefined;
    const steps = head?.steps.map((step, i) => ({ ...step, ...heads[i] })) ?? [];
    return new EncoderModel(formed.summary, withFormFiles(this.files, forms), {
      ...layout,
      sublayers: formed.sublayers,
      embedding: isText ? { ...embedding, words } : embedding,
      head: head && { ...head, steps },
    });
  }

  public withPatches(patches: ReadonlyMap<string, SymbolicPatch>): EncoderModel {
    const { summary, layout, files } = withPatches(this, patches, false);
    return new EncoderModel(summary, files, layout);
  }

  public patchModule(id: string): string {
    return patchModuleOf(this.layout.patchModules, id);
  }

  public patchInput(): PatchInput {
    return { value: stream, width: this.layout.attention.hiddenSize };
  }

  /** Every tensor of the head, which may be the embedding's. */
  public get headTensors(): LazyTensor[] {
    const { head } = this.layout;
    const steps = head?.steps ?? [];
    return [head?.norm, ...steps.flatMap(({ linear, norm }) => [linear, norm])].flatMap(
      storedTensors,
    );
  }

  /** Whether its output is one embedding for each text. */
  public get pools(): boolean {
    return this.layout.head?.pools === true;
  }

  /** The same with all hidden states as its output, where it pools them. */
  public get unpooled(): EncoderModel {
    return this.pools
      ? new EncoderModel(this.summary, this.files, { ...this.layout, head: undefined })
      : this;
  }

  public requireRunnable(): void {
    requireRunnableTensors([
      ...this.embeddingTensors(),
      ...this.endTensors(),
      ...this.layout.sublayers.flatMap((sublayer) => sublayerTensors(sublayer, storedTensors)),
    ]);
  }

  /** Emits the model without the sublayers of `removed`, from its inputs to its output. */
  public emitWhole(graph: GraphBuilder, removed: ReadonlySet<number>): void {
    declareInputs(graph, this.inputs);
    const { hidden: first, side } = this.emitPrologue(graph);
    const last = this.layout.sublayers.reduce(
      (hidden, sublayer, index) =>
        removed.has(index)
          ? emitNorms(graph, this.layout.norm, hidden, sublayer.weights.sumNorms)
          : this.emitSublayer(graph, sublayer, hidden, side),
      first,
    );
    const output = this.emitEpilogue(graph, last, side);
    graph.output(this.output.name, output, DataType.FLOAT, this.outputShape);
  }

  private part(
    key: string,
    costs: RunningCosts,
    inputs: readonly string[],
    outputs: readonly string[],
    emit: (graph: GraphBuilder) => void,
  ): BuilderPart {
    return emittedPart({ key, ...costs, inputs, outputs }, emit);
  }

  /** Declares the stream and side values as inputs. */
  private declareStream(
    graph: GraphBuilder,
    needed: readonly string[],
  ): { hidden: Value; byName: Values } {
    const hidden = graph.input(stream, DataType.FLOAT, this.streamShape);
    for (const { name, shape } of this.sideValues.filter((side) => needed.includes(side.name))) {
      graph.input(name, DataType.FLOAT, shape);
    }
    return { hidden, byName: Object.fromEntries(needed.map((name) => [name, name])) };
  }

  private get streamShape(): Dimension[] {
    return [...rows, this.layout.attention.hiddenSize];
  }

  private get outputShape(): Dimension[] {
    const { attention, head } = this.layout;
    const width = head?.steps.at(-1)?.linear.weight.shape[0] ?? attention.hiddenSize;
    return head === undefined || head.reads === 'all' ? [...rows, width] : ['batch', width];
  }

  /** The first hidden states, and what the blocks of a text read beside them. */
  private emitPrologue(graph: GraphBuilder): { hidden: Value; side: Values } {
    const { embedding, norm, startNorms } = this.layout;
    return graph.within('prologue', () => {
      const first = emitEmbedding(graph, embedding, norm);
      return {
        hidden: emitNorms(graph, norm, first, startNorms),
        side: emitEncoderSides(graph, this.layout, first),
      };
    });
  }

  private emitSublayer(
    graph: GraphBuilder,
    sublayer: TransformerSublayer,
    hidden: Value,
    side: Values,
  ): Value {
    const { attention, feedforward, norm } = this.layout;
    return graph.within(idOfSublayer(sublayer), () => {
      switch (sublayer.kind) {
        case 'attention': {
          const sides = encoderAttentionSide(graph, this.layout, sublayer, side);
          const shape = { ...attention, ...sublayer.heads };
          return emitAttention(graph, shape, sublayer.weights, hidden, sides);
        }
        case 'feedforward':
          return emitFeedforward(graph, feedforward, sublayer.weights, hidden);
        case 'patch':
          return emitNorms(
            graph,
            norm,
            emitPatch(graph, sublayer.patch, hidden),
            sublayer.weights.sumNorms,
          );
        case 'expert':
          return emitExperts(graph, sublayer.shape, sublayer.weights, hidden);
        case 'mixer':
          throw new Error(`no encoder has a sublayer of kind ${sublayer.kind}`);
      }
    });
  }

  private emitEpilogue(graph: GraphBuilder, hidden: Value, side: Values): Value {
    return graph.within('epilogue', () => emitHead(graph, this.layout, hidden, side));
  }

  private embeddingTensors(): LazyTensor[] {
    const { embedding, gatedBias, distanceBias, startNorms } = this.layout;
    return [
      ...embeddingTensors(embedding),
      ...[gatedBias, distanceBias].flatMap((bias) => bias?.table ?? []),
      ...startNorms.flatMap((norm) => partTensors(norm)),
    ];
  }

  private endTensors(): LazyTensor[] {
    return [...storedTensors(this.layout.finalNorm), ...this.headTensors];
  }

  private get outer(): OuterLinears {
    return outerOf(this.layout);
  }

  private idAt(index: number): string {
    return this.summary.sublayers[index]?.id ?? String(index);
  }

  private at(index: number): TransformerSublayer {
    const sublayer = this.layout.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.layout.sublayers.length}`);
    }
    return sublayer;
  }
}
