import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension, GraphBuilder } from '../../onnx/graph-builder';
import { UserError } from '../../user-error';
import type {
  GraphPart,
  InputPort,
  LayeredModel,
  ModelOutput,
  PatchInput,
  Step,
  TappedStep,
} from '../layered-model';
import type { LinearLayer, MatrixEncoding, OuterMatrix } from '../matrix-encoding';
import type { ModelSummary } from '../model-summary';
import { feedforwardWidth } from '../narrow/width';
import type { Width } from '../narrow/width';
import type { Linear } from '../parts/linear';
import { emitNorms } from '../parts/norm';
import {
  linearLayersOf,
  roundingOfForms,
  withFormFiles,
  withForms,
} from '../transformer/linear-layers';
import { partTensors, storedTensors } from '../transformer/part-tensors';
import { requireRunnableTensors } from '../transformer/runnable';
import {
  costsOf,
  outputTensors,
  runningCosts,
  stayingTensors,
  sublayerTensors,
  upToSum,
} from '../transformer/sublayer-tensors';
import { declareInputs, emittedPart, tappedPart } from '../transformer/tapped-part';
import type { BuilderPart, RunningCosts } from '../transformer/tapped-part';
import { isCross } from '../transformer/transformer-sublayer';
import type { TransformerSublayer } from '../transformer/transformer-sublayer';
import {
  emitBranch,
  emitHead,
  emitMasks,
  emitSource,
  emitSourceMask,
  emitTarget,
  maskOf,
  masksOf,
} from './emit-seq2seq';
import { emitDecoder, emitEncoded, emitEncoder } from './emit-towers';
import { seq2seqInputs } from './seq2seq-inputs';
import { asOneList, outerOf } from './seq2seq-layout';
import type { Seq2SeqLayout, Tower } from './seq2seq-layout';
import { say } from '../../message';

/** The residual stream, of the encoder and then of the decoder. */
const stream = 'hidden';
const nextStream = 'next';
/** The decoder's first hidden states, as long as the stream is the encoder's. */
const target = 'target';
/** What the encoder gives, as long as the stream is the decoder's. */
export const encoded = 'encoded';

/**
 * An encoder and a decoder, laid out from a checkpoint, as one residual stream: that of the encoder, whose result is
 * part of the state from there on, and then that of the decoder.
 */
export class Seq2SeqModel implements LayeredModel {
  public readonly kind = 'encoder-decoder';
  public readonly inputs: readonly InputPort[];
  /** What the encoder reads. */
  public readonly sourceInputs: readonly InputPort[];
  public readonly targetStart: number | undefined;
  public readonly output: ModelOutput;
  public readonly sideNames: readonly string[];
  /** Masks depend on attention_mask. */
  public readonly joinsExamples = false;
  /** transformers ties the embedding of both towers and the head, so they stay as they are. */
  public readonly outerMatrices: readonly OuterMatrix[] = [];
  private readonly sublayers: readonly TransformerSublayer[];

  /** @param start what the decoder reads in front of a text, where one tokenizer knows its words */
  public constructor(
    public readonly summary: ModelSummary,
    public readonly files: readonly string[],
    public readonly layout: Seq2SeqLayout,
    private readonly start?: number,
  ) {
    const { head, encoder, decoder } = layout;
    const { source, target: port } = seq2seqInputs(layout, summary, start);
    this.inputs = [...source, port];
    this.sourceInputs = source;
    this.targetStart = layout.convolutions === undefined ? start : undefined;
    this.sideNames = masksOf(layout).map(({ name }) => name);
    this.sublayers = [...encoder.sublayers, ...decoder.sublayers];
    this.output = {
      name: head === undefined ? 'last_hidden_state' : 'logits',
      givesScores: head !== undefined,
    };
  }

  public get blockPlaces(): readonly string[] {
    return this.layout.blockPlaces;
  }

  public get sharedByBlocks(): readonly string[] {
    return this.layout.sharedByBlocks;
  }

  public get tableRows(): Readonly<Record<string, number>> {
    const rowsOf = ({ weight }: Linear): number => weight.shape[0] ?? 0;
    const { words, targetWords } = this.layout;
    return { input_ids: rowsOf(words), decoder_input_ids: rowsOf(targetWords) };
  }

  public get prologue(): Step & { readonly part: GraphPart } {
    const { encoder } = this.layout;
    // Without any sublayer the encoder gives the norm of what it reads.
    const isEmpty = encoder.sublayers.length === 0;
    const part = this.part(
      'prologue',
      costsOf(this.startTensors(), [this.layout.words, this.layout.targetWords]),
      this.inputs.map(({ name }) => name),
      [nextStream, target, ...this.sideNames],
      (graph) => {
        declareInputs(graph, this.inputs);
        const source = emitSource(graph, this.layout);
        const first = isEmpty ? emitEncoded(graph, this.layout, source) : source;
        graph.output(nextStream, first, DataType.FLOAT, this.shapeOf('sequence'));
        graph.output(
          target,
          emitTarget(graph, this.layout),
          DataType.FLOAT,
          this.shapeOf('target'),
        );
        const masks = emitMasks(graph, this.layout);
        for (const { name, shape } of masksOf(this.layout)) {
          graph.output(name, masks[name] ?? name, DataType.FLOAT, shape);
        }
      },
    );
    return {
      part,
      next: isEmpty
        ? { [stream]: target, [encoded]: nextStream }
        : { [stream]: nextStream, [target]: target },
    };
  }

  public sublayer(index: number): Step & { readonly part: BuilderPart } {
    return this.over(this.idAt(index), index, this.at(index), this.isLastOfEncoder(index));
  }

  public summed(index: number): Step & { readonly part: BuilderPart } {
    return this.over(`${this.idAt(index)}.summed`, index, upToSum(this.at(index)), false);
  }

  private over(
    key: string,
    index: number,
    sublayer: TransformerSublayer,
    ends: boolean,
  ): Step & { readonly part: BuilderPart } {
    const tower = this.towerAt(index);
    const mask = maskOf(this.layout, tower, sublayer);
    const reads = isCross(sublayer) ? [encoded] : [];
    const part = this.part(
      key,
      this.withFinalNorm(runningCosts(sublayer), ends),
      [stream, ...reads, ...(mask === undefined ? [] : [mask.name])],
      [nextStream],
      (graph) => {
        const hidden = graph.input(stream, DataType.FLOAT, this.shapeOf('sequence'));
        if (reads.length > 0) {
          graph.input(encoded, DataType.FLOAT, this.shapeOf('source'));
        }
        if (mask !== undefined) {
          graph.input(mask.name, DataType.FLOAT, mask.shape);
        }
        const next = emitBranch(graph, tower, sublayer, hidden, {
          mask: mask?.name,
          encoded,
        });
        const given = ends ? emitEncoded(graph, this.layout, next) : next;
        graph.output(nextStream, given, DataType.FLOAT, this.shapeOf('sequence'));
      },
    );
    return { part, next: this.behind(index, nextStream, ends) };
  }

  public skipped(index: number): Step {
    const { sumNorms = [] } = this.at(index).weights;
    const ends = this.isLastOfEncoder(index);
    if (sumNorms.length === 0 && !(ends && this.layout.encoder.finalNorm !== undefined)) {
      return { next: this.behind(index, stream, ends) };
    }
    const part = this.part(
      `${this.idAt(index)}.skipped`,
      this.withFinalNorm(costsOf(stayingTensors(this.at(index)), []), ends),
      [stream],
      [nextStream],
      (graph) => {
        const hidden = graph.input(stream, DataType.FLOAT, this.shapeOf('sequence'));
        const next = emitNorms(graph, this.layout.norm, hidden, sumNorms);
        const given = ends ? emitEncoded(graph, this.layout, next) : next;
        graph.output(nextStream, given, DataType.FLOAT, this.shapeOf('sequence'));
      },
    );
    return { part, next: this.behind(index, nextStream, ends) };
  }

  public streamNames(index: number): { readonly before: string; readonly after: string } {
    return { before: stream, after: this.isLastOfEncoder(index) ? encoded : stream };
  }

  public get epilogue(): GraphPart {
    const { head } = this.layout;
    const { name } = this.output;
    const costs = costsOf(this.headTensors(), head === undefined ? [] : [head.linear]);
    return this.part('epilogue', costs, [stream], [name], (graph) => {
      const hidden = graph.input(stream, DataType.FLOAT, this.shapeOf('sequence'));
      graph.output(name, emitHead(graph, this.layout, hidden), DataType.FLOAT, this.outputShape);
    });
  }

  public outputTensors(index: number): readonly LazyTensor[] {
    return outputTensors(this.at(index));
  }

  public sublayerTensors(index: number): readonly LazyTensor[] {
    return sublayerTensors(this.at(index));
  }

  public stayingTensors(index: number): readonly LazyTensor[] {
    return stayingTensors(this.at(index));
  }

  public get roundingError(): number | undefined {
    return roundingOfForms(this.sublayers, outerOf(this.layout));
  }

  public linearLayers(index: number): readonly LinearLayer[] {
    return linearLayersOf(this.at(index), index, this.towerAt(index).feedforward.gated);
  }

  public width(index: number): Width | undefined {
    const sublayer = this.at(index);
    return sublayer.kind === 'feedforward'
      ? feedforwardWidth(this.towerAt(index).feedforward, sublayer.weights)
      : undefined;
  }

  public tapped(index: number): TappedStep {
    const step = this.sublayer(index);
    return { ...step, ...tappedPart(step.part, this.linearLayers(index)) };
  }

  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): Seq2SeqModel {
    const { layout, files, start } = this;
    const { encoder, decoder } = layout;
    const all = { ...asOneList(layout), outer: outerOf(layout) };
    const { summary, sublayers } = withForms(this.summary, all, forms);
    const count = encoder.sublayers.length;
    const formed = {
      ...layout,
      encoder: { ...encoder, sublayers: sublayers.slice(0, count) },
      decoder: { ...decoder, sublayers: sublayers.slice(count) },
    };
    return new Seq2SeqModel(summary, withFormFiles(files, forms), formed, start);
  }

  /** @throws UserError: no writer can say it. */
  public withPatches(): never {
    throw new UserError(say`Encoder–decoder models can't hold graph modules.`, {
      file: this.summary.path,
      remedy: say`Choose a decoder or an encoder.`,
    });
  }

  public patchInput(): PatchInput {
    return { value: stream, width: undefined };
  }

  public requireRunnable(): void {
    requireRunnableTensors([
      ...this.startTensors(),
      ...this.headTensors(),
      ...this.sublayers.flatMap((sublayer) => sublayerTensors(sublayer, storedTensors)),
    ]);
  }

  /** Emits the model without the sublayers of `removed`, from its inputs to its output. */
  public emitWhole(graph: GraphBuilder, removed: ReadonlySet<number>): void {
    declareInputs(graph, this.inputs);
    const masks = emitMasks(graph, this.layout);
    const source = emitEncoder(graph, this.layout, masks, removed);
    const last = emitDecoder(graph, this.layout, masks, removed, source);
    const output = emitHead(graph, this.layout, last);
    graph.output(this.output.name, output, DataType.FLOAT, this.outputShape);
  }

  /** Emits the encoder alone, from its inputs to what it gives. */
  public emitSourceWhole(graph: GraphBuilder, removed: ReadonlySet<number>): void {
    declareInputs(graph, this.sourceInputs);
    const masks = emitSourceMask(graph, this.layout);
    const given = emitEncoder(graph, this.layout, masks, removed);
    graph.output(encoded, given, DataType.FLOAT, this.shapeOf('source'));
  }

  private behind(index: number, next: string, ends: boolean): Readonly<Record<string, string>> {
    return ends
      ? { [stream]: target, [encoded]: next }
      : {
          [stream]: next,
          ...(this.isOfEncoder(index) ? { [target]: target } : { [encoded]: encoded }),
        };
  }

  private withFinalNorm(costs: RunningCosts, ends: boolean): RunningCosts {
    const norm = costsOf(partTensors(ends ? this.layout.encoder.finalNorm : undefined), []);
    return {
      ...costs,
      bytes: costs.bytes + norm.bytes,
      mappedBytes: (costs.mappedBytes ?? 0) + (norm.mappedBytes ?? 0),
    };
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

  private shapeOf(length: string): Dimension[] {
    return ['batch', length, this.layout.encoder.attention.hiddenSize];
  }

  private get outputShape(): Dimension[] {
    const { head, decoder } = this.layout;
    return [
      'batch',
      'target_sequence',
      head?.linear.weight.shape[0] ?? decoder.attention.hiddenSize,
    ];
  }

  private isOfEncoder(index: number): boolean {
    return index < this.layout.encoder.sublayers.length;
  }

  private isLastOfEncoder(index: number): boolean {
    return index === this.layout.encoder.sublayers.length - 1;
  }

  private towerAt(index: number): Tower {
    return this.isOfEncoder(index) ? this.layout.encoder : this.layout.decoder;
  }

  private startTensors(): LazyTensor[] {
    const { words, targetWords, convolutions = [], encoder, decoder } = this.layout;
    const isEmpty = encoder.sublayers.length === 0;
    return [
      ...[...new Set([words, targetWords]), ...convolutions].flatMap(storedTensors),
      ...[encoder, decoder].flatMap(({ start, distanceBias }) => [
        ...(start.positions !== undefined && 'weight' in start.positions
          ? [start.positions.weight]
          : []),
        ...[start.wordNorm, ...start.norms].flatMap((norm) => partTensors(norm)),
        ...(distanceBias === undefined ? [] : [distanceBias.table]),
      ]),
      ...(isEmpty ? partTensors(encoder.finalNorm) : []),
    ];
  }

  private headTensors(): LazyTensor[] {
    const { head, decoder } = this.layout;
    return [...partTensors(decoder.finalNorm), ...storedTensors(head?.linear)];
  }

  private idAt(index: number): string {
    return this.summary.sublayers[index]?.id ?? String(index);
  }

  private at(index: number): TransformerSublayer {
    const sublayer = this.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.sublayers.length}`);
    }
    return sublayer;
  }
}
