import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { stream } from '../model-emitter';
import type { SublayerCall, ModelInputs, StepEmitter, Values } from '../model-emitter';
import type { SublayerSummary } from '../model-summary';
import { emitTarget, emitTargetMasks } from './emit-seq2seq';
import { encoded } from './seq2seq-model';
import type { Seq2SeqModel } from './seq2seq-model';

/** int64 [batch, source]: 1 for source tokens to attend to. */
const attended = 'source_mask';
/** Inputs of a decoder that come from the encoder: its states and mask. */
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
