import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import { UserError } from '../../user-error';
import type { BlockNames, InputPort, ModelOutput, Step } from '../layered-model';
import type { EmbeddingOrHead } from '../matrix-encoding';
import { stream } from '../model-emitter';
import type { SublayerCall, SideValue, Values, ModelInputs, StepEmitter } from '../model-emitter';
import type { ModelSummary, SublayerSummary } from '../model-summary';
import { BlockModel } from '../modules/block-model';
import { runningCosts } from '../modules/costs';
import { linearIfAny } from '../modules/sublayer';
import { WordEmbedding } from '../modules/word-embedding';
import type { Sublayer } from '../modules/sublayer-list';
import { outputName } from '../transformer/carried-streams';
import type { EmbeddingAndHead } from '../transformer/embedding-and-head';
import { partTensors } from '../transformer/part-tensors';
import { declareInputs } from '../transformer/tapped-part';
import type { RunningCosts } from '../transformer/tapped-part';
import {
  emitEncoded,
  emitMasks,
  emitSource,
  emitSourceMask,
  emitTarget,
  findMask,
  seq2SeqMasks,
  emitTargetMasks,
} from './emit-seq2seq';
import type { Seq2SeqLayout, Tower } from './seq2seq-layout';
import { say } from '../../message';
import type { Linear } from '../parts/linear';

/** The decoder's first hidden states, as long as the stream is the encoder's. */
const target = 'target';
/** Output of the encoder, as long as the stream is the decoder's. */
const encoded = 'encoded';

/**
 * Encoder–decoder model as one residual stream: first the encoder's, whose output then becomes part of the state,
 * followed by the decoder's.
 */
export class Seq2SeqModel extends BlockModel<Seq2SeqLayout, Seq2SeqModel> {
  public readonly kind = 'encoder-decoder';
  public readonly inputs: readonly InputPort[];
  /** Inputs of the encoder. */
  public readonly sourceInputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly sideValues: readonly SideValue[];
  /** Masks depend on attention_mask. */
  public readonly joinsExamples = false;
  protected readonly keepsCache = true;
  public readonly sublayers: readonly Sublayer[];

  /** @param start first token of the decoder's input, if the tokenizer has one for it */
  public constructor(
    summary: ModelSummary,
    files: readonly string[],
    layout: Seq2SeqLayout,
    private readonly start?: number,
  ) {
    super(summary, files, layout);
    const { epilogue, encoder, decoder } = layout;
    const { source, target: port } = seq2seqInputs(layout, summary, start);
    this.inputs = [...source, port];
    this.sourceInputs = source;
    this.sideValues = seq2SeqMasks(layout);
    this.sublayers = [...encoder.sublayers, ...decoder.sublayers];
    this.output = {
      name: epilogue.head === undefined ? 'last_hidden_state' : 'logits',
      givesScores: epilogue.head !== undefined,
    };
  }

  public get blockNames(): BlockNames {
    const { blockPlaces: places, sharedByBlocks } = this.layout;
    return { places, sharedByBlocks };
  }

  /** transformers ties the embedding of both towers and the head, so they stay as they are. */
  public override get embeddingAndHeadMatrices(): readonly EmbeddingOrHead[] {
    return [];
  }

  public get embeddingAndHead(): EmbeddingAndHead {
    const { decoder, epilogue } = this.layout;
    return epilogue.withEmbedding(decoder.start.table);
  }

  public get hidden(): number {
    return this.layout.encoder.attention.hiddenSize;
  }

  protected get prologueCosts(): RunningCosts {
    const { encoder, decoder } = this.layout;
    const source = encoder.start instanceof WordEmbedding ? [encoder.start.table] : [];
    return runningCosts(this.prologueTensors, [...source, decoder.start.table]);
  }

  protected get epilogueCosts(): RunningCosts {
    const { tensors, head } = this.layout.epilogue;
    return runningCosts(tensors, linearIfAny(head?.linear));
  }

  protected get outputShape(): readonly Dimension[] {
    const { head } = this.layout.epilogue;
    return ['batch', 'target_sequence', head?.linear.weight.shape[0] ?? this.hidden];
  }

  protected override shapeOf(value: string): readonly Dimension[] {
    const { [value]: length = 'sequence' } = { [encoded]: 'source', [target]: 'target' };
    return ['batch', length, this.hidden];
  }

  public override streamNames(index: number): { readonly before: string; readonly after: string } {
    return { before: stream, after: this.isLastOfEncoder(index) ? encoded : stream };
  }

  public override stateNames(index: number): readonly string[] {
    return this.isCross(index) ? [stream, encoded] : [stream];
  }

  public sidesOf(index: number): readonly string[] {
    const mask = findMask(this.layout, this.towerAt(index), this.at(index));
    return mask === undefined ? [] : [mask.name];
  }

  /** Without any sublayer, the encoder outputs the norm of its input. */
  public override givenAt(boundary: number): readonly string[] {
    return boundary === 0 ? [this.isInEncoder(0) ? target : encoded] : [];
  }

  public override nextState(boundary: number, next: string): Step['next'] {
    if (boundary === 0) {
      const [given = target] = this.givenAt(0);
      return { [stream]: next, [given]: outputName(given) };
    }
    return this.isLastOfEncoder(boundary - 1)
      ? { [stream]: target, [encoded]: next }
      : {
          [stream]: next,
          ...(this.isInEncoder(boundary) ? { [target]: target } : { [encoded]: encoded }),
        };
  }

  public emitInputs(graph: GraphBuilder): { state: Values; side: Values } {
    const source = emitSource(graph, this.layout);
    const first = emitTarget(graph, this.layout);
    return {
      state: this.isInEncoder(0)
        ? { [stream]: source, [target]: first }
        : { [stream]: first, [encoded]: emitEncoded(graph, this.layout, source) },
      side: graph.step('side', () => emitMasks(graph, this.layout)),
    };
  }

  public override cachesAt(index: number): boolean {
    return super.cachesAt(index) && !this.isInEncoder(index) && !this.isCross(index);
  }

  public emitSublayer(...[graph, index, state, side, options = {}]: SublayerCall): Values {
    const [name = ''] = this.sidesOf(index);
    const { [name]: mask, [encoded]: othersStream } = { ...side, ...state };
    const next = this.at(index).emit(graph, {
      hidden: state[stream] ?? '',
      options,
      side: {
        ...(mask === undefined ? {} : { mask }),
        ...(othersStream === undefined ? {} : { othersStream }),
      },
    });
    return this.stateAfter(graph, index, state, next);
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values): Values {
    const next = this.at(index).emitSkipped(graph, state[stream] ?? '');
    return this.stateAfter(graph, index, state, next);
  }

  private stateAfter(graph: GraphBuilder, index: number, state: Values, next: Value): Values {
    return this.isLastOfEncoder(index)
      ? { [stream]: state[target] ?? '', [encoded]: emitEncoded(graph, this.layout, next) }
      : { ...state, [stream]: next };
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    const { epilogue } = this.layout;
    return graph.within('epilogue', () =>
      epilogue.emitLogits(graph, epilogue.emitNorm(graph, hidden)),
    );
  }

  protected override sharesHeads(): boolean {
    return true;
  }

  public override sublayerCosts(index: number): RunningCosts {
    return this.withFinalNorm(super.sublayerCosts(index), index);
  }

  public override skippedCosts(index: number): RunningCosts | undefined {
    const costs = super.skippedCosts(index);
    const isNormed = this.isLastOfEncoder(index) && this.layout.encoder.finalNorm !== undefined;
    return isNormed ? this.withFinalNorm(costs ?? runningCosts([], []), index) : costs;
  }

  /** @throws UserError because no format supports it */
  public override withPatches(): never {
    throw new UserError(
      'patches-unsupported',
      say`Encoder–decoder models can't hold graph modules.`,
      { file: this.summary.path, remedy: say`Choose a decoder or an encoder.` },
    );
  }

  public override get patchWidth(): undefined {
    return undefined;
  }

  /** Emits the encoder alone, from its inputs to its output. */
  public emitSourceWhole(graph: GraphBuilder, removed: ReadonlySet<number>): void {
    declareInputs(graph, this.sourceInputs);
    const side = emitSourceMask(graph, this.layout);
    let state: Values = { [stream]: emitSource(graph, this.layout) };
    for (const index of this.layout.encoder.sublayers.keys()) {
      state = removed.has(index)
        ? this.emitSkipped(graph, index, state)
        : this.emitSublayer(graph, index, state, side);
    }
    const given = state[encoded] ?? emitEncoded(graph, this.layout, state[stream] ?? '');
    graph.output(encoded, given, DataType.FLOAT, this.shapeOf(encoded));
  }

  private withFinalNorm(costs: RunningCosts, index: number): RunningCosts {
    const { finalNorm } = this.layout.encoder;
    const norm = runningCosts(partTensors(this.isLastOfEncoder(index) ? finalNorm : undefined), []);
    return {
      ...costs,
      bytes: costs.bytes + norm.bytes,
      mappedBytes: (costs.mappedBytes ?? 0) + (norm.mappedBytes ?? 0),
    };
  }

  private isCross(index: number): boolean {
    return this.at(index).reach?.isCross === true;
  }

  public isInEncoder(index: number): boolean {
    return index < this.layout.encoder.sublayers.length;
  }

  private isLastOfEncoder(index: number): boolean {
    return index === this.layout.encoder.sublayers.length - 1;
  }

  public towerAt(index: number): Tower {
    return this.isInEncoder(index) ? this.layout.encoder : this.layout.decoder;
  }

  protected get embeddingAndHeadTensors(): readonly LazyTensor[] {
    return [...this.prologueTensors, ...this.layout.epilogue.tensors];
  }

  private get prologueTensors(): LazyTensor[] {
    const { encoder, decoder } = this.layout;
    const starts = [encoder, decoder].flatMap(({ start, distanceBias }) => [
      ...start.tensors,
      ...(distanceBias === undefined ? [] : [distanceBias.table]),
    ]);
    return [...new Set(starts), ...(this.isInEncoder(0) ? [] : partTensors(encoder.finalNorm))];
  }

  public layoutWith(sublayers: readonly Sublayer[]): Seq2SeqLayout {
    const { encoder, decoder } = this.layout;
    const count = encoder.sublayers.length;
    return {
      ...this.layout,
      encoder: { ...encoder, sublayers: sublayers.slice(0, count) },
      decoder: { ...decoder, sublayers: sublayers.slice(count) },
    };
  }

  public remade(
    summary: ModelSummary,
    files: readonly string[],
    layout: Seq2SeqLayout,
  ): Seq2SeqModel {
    return new Seq2SeqModel(summary, files, layout, this.start);
  }
}

/** Inputs of the encoder and of the decoder. */
interface Seq2SeqInputs {
  readonly source: readonly InputPort[];
  readonly target: InputPort;
}

const ids = (name: string, length: string, tableRows?: number): InputPort => ({
  name,
  dtype: 'I64',
  shape: ['batch', length],
  ...(tableRows === undefined ? {} : { tableRows }),
});

const rowCount = ({ weight }: Linear): number => weight.shape[0] ?? 0;

/** @param start id that the decoder reads before a text, if both towers have one tokenizer */
function seq2seqInputs(
  { encoder, decoder, spectrogram }: Pick<Seq2SeqLayout, 'encoder' | 'decoder' | 'spectrogram'>,
  { maxPositions, vocabularySize }: ModelSummary,
  start: number | undefined,
): Seq2SeqInputs {
  const rows = rowCount(decoder.start.table);
  const target = ids('decoder_input_ids', 'target_sequence', rows);
  if (encoder.start instanceof WordEmbedding) {
    return {
      source: [
        ids('input_ids', 'sequence', rowCount(encoder.start.table)),
        ids('attention_mask', 'sequence'),
      ],
      target: { ...target, targetStart: start },
    };
  }
  const source = [
    { name: 'input_features', dtype: 'F32', shape: ['batch', ...spectrogram] as const },
  ];
  return start === undefined || maxPositions === undefined || vocabularySize === undefined
    ? { source, target }
    : { source, target: { ...target, transcript: { start, most: maxPositions, vocabularySize } } };
}

/** int64 [batch, source]: 1 for source tokens to attend to. */
const attended = 'source_mask';
export const sourceInputs = { encoded, attended } as const;

/**
 * Decoder of an encoder–decoder model as a text decoder with two additional inputs: the encoder output, float32 [batch,
 * source, hidden], and the source mask. Keys and values of the source are cached like those of the target: the first
 * step computes them, and later steps receive no source rows.
 */
export class StepDecoder implements StepEmitter {
  public readonly summary: {
    readonly name: string;
    readonly sublayers: readonly SublayerSummary[];
  };
  /** Number of sublayers before those of the decoder. */
  private readonly first: number;

  public constructor(private readonly model: Seq2SeqModel) {
    const { name, sublayers } = model.summary;
    this.first = model.layout.encoder.sublayers.length;
    this.summary = { name, sublayers: sublayers.slice(this.first) };
  }

  public get vocabularySize(): number {
    const { epilogue, decoder } = this.model.layout;
    return epilogue.head?.linear.weight.shape[0] ?? decoder.attention.hiddenSize;
  }

  public emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { state: Values; side: Values } {
    const { layout } = this.model;
    const { hiddenSize } = layout.decoder.attention;
    graph.input(encoded, DataType.FLOAT, ['batch_size', 'source', hiddenSize]);
    graph.input(attended, DataType.INT64, ['batch_size', 'source_total']);
    const { inputIds, positionIds } = inputs;
    return {
      state: { [stream]: emitTarget(graph, layout, inputIds, positionIds), [encoded]: encoded },
      side: emitTargetMasks(graph, layout, inputs, attended),
    };
  }

  public emitSublayer(...[graph, index, ...values]: SublayerCall): Values {
    return this.model.emitSublayer(graph, this.first + index, ...values);
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values): Values {
    return this.model.emitSkipped(graph, this.first + index, state);
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    return this.model.emitEpilogue(graph, hidden);
  }
}
