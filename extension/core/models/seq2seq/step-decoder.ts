import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { stream } from '../model-emitter';
import type { EmitOptions, ModelInputs, StepEmitter, Values } from '../model-emitter';
import type { SublayerSummary } from '../model-summary';
import type { Sublayer } from '../modules/sublayer-list';
import { emitHead, emitTarget, emitTargetMasks, findMask } from './emit-seq2seq';
import type { Seq2SeqLayout } from './seq2seq-layout';
import { encoded } from './seq2seq-model';
import type { Seq2SeqModel } from './seq2seq-model';

/** int64 [batch, source]: 1 where a token of the source may be attended. */
const attended = 'source_mask';
export const sourceInputs = { encoded, attended } as const;

/**
 * The decoder of an encoder–decoder model as one that continues a text, with two more inputs: what the encoder gives, float32
 * [batch, source, hidden], and the source's mask. Keys and values of the source are kept with those of the target:
 * they are made of what is given in a step, so that later steps are given no rows.
 */
export class StepDecoder implements StepEmitter {
  public readonly summary: {
    readonly name: string;
    readonly sublayers: readonly SublayerSummary[];
  };
  private readonly layout: Seq2SeqLayout;

  public constructor({ layout, summary }: Pick<Seq2SeqModel, 'layout' | 'summary'>) {
    const { name, sublayers } = summary;
    this.layout = layout;
    this.summary = { name, sublayers: sublayers.slice(layout.encoder.sublayers.length) };
  }

  public get vocabularySize(): number {
    const { head, decoder } = this.layout;
    return head?.linear.weight.shape[0] ?? decoder.attention.hiddenSize;
  }

  public emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { state: Values; side: Values } {
    const { hiddenSize } = this.layout.decoder.attention;
    graph.input(encoded, DataType.FLOAT, ['batch_size', 'source', hiddenSize]);
    graph.input(attended, DataType.INT64, ['batch_size', 'source_total']);
    const { inputIds, positionIds } = inputs;
    return {
      state: { [stream]: emitTarget(graph, this.layout, inputIds, positionIds) },
      side: emitTargetMasks(graph, this.layout, inputs, attended),
    };
  }

  public emitSublayer(
    graph: GraphBuilder,
    index: number,
    state: Values,
    side: Values,
    options: EmitOptions = {},
  ): Values {
    const { decoder } = this.layout;
    const sublayer = this.at(index);
    const mask = findMask(this.layout, decoder, sublayer);
    const own = mask && side[mask.name];
    const next = sublayer.emit(graph, {
      hidden: state[stream] ?? '',
      side: { ...(own === undefined ? {} : { mask: own }), othersStream: encoded },
      options,
    });
    return { [stream]: next };
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values): Values {
    return { [stream]: this.at(index).emitSkipped(graph, state[stream] ?? '') };
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    return emitHead(graph, this.layout, hidden);
  }

  private at(index: number): Sublayer {
    const sublayer = this.layout.decoder.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of a decoder`);
    }
    return sublayer;
  }
}
