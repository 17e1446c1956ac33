import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { HeadOutputs } from '../model-emitter';
import { emitLinearOver } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm, emitSoftCap } from '../parts/norm';
import type { Norm, NormStyle } from '../parts/norm';
import type { EmbeddingAndHead } from '../transformer/embedding-and-head';
import { partTensors, storedTensors } from '../transformer/part-tensors';

/** An LM head. */
export interface LmHead {
  /** Name of the weight, even if it is tied and not stored. */
  readonly id: string;
  /** The embedding's weight if tied. */
  readonly linear: Linear;
  /** Factor on the input. */
  readonly inputScale: number;
  /** From the hidden size to the width that the head reads, if these differ. */
  readonly projection?: Linear | undefined;
  /** Factor and soft cap of the logits. */
  readonly logitScale: number;
  readonly softCap?: number | undefined;
}

/** Epilogue of a model: the norm of the last hidden states, and the LM head if there is one. */
export class Epilogue {
  public constructor(
    private readonly finalNorm: Norm | undefined,
    public readonly head: LmHead | undefined,
    private readonly style: NormStyle,
  ) {}

  /** Every tensor, as stored. */
  public get tensors(): readonly LazyTensor[] {
    const { finalNorm, head } = this;
    return [
      ...partTensors(finalNorm),
      ...storedTensors(head?.projection),
      ...storedTensors(head?.linear),
    ];
  }

  /** True if the head has no bias, soft cap or encoding. */
  public get isLinear(): boolean {
    const { linear, softCap } = this.head ?? {};
    return linear?.bias === undefined && linear?.encoding === undefined && softCap === undefined;
  }

  /** The matrices outside the sublayers: the embedding that the head may be, and the head. */
  public withEmbedding(embedding: Linear): EmbeddingAndHead & { readonly embedding: Linear } {
    const { head } = this;
    return { embedding, heads: head === undefined ? [] : [{ id: head.id, linear: head.linear }] };
  }

  public withHead(linear: Linear | undefined): Epilogue {
    const { finalNorm, head, style } = this;
    return head === undefined || linear === undefined
      ? this
      : new Epilogue(finalNorm, { ...head, linear }, style);
  }

  /** Emits the norm of the last hidden states. */
  public emitNorm(graph: GraphBuilder, hidden: Value): Value {
    const { finalNorm, style } = this;
    return finalNorm === undefined ? hidden : emitNorm(graph, style, hidden, finalNorm);
  }

  /** Emits the logits of normed hidden states, or the states if there is no head. */
  public emitLogits(
    graph: GraphBuilder,
    normed: Value,
    outputs: HeadOutputs = (linear, input) => emitLinearOver(graph, linear, input),
  ): Value {
    const { head } = this;
    if (head === undefined) {
      return normed;
    }
    const { linear, inputScale, projection, logitScale, softCap } = head;
    const times = (x: Value, factor: number): Value =>
      factor === 1 ? x : graph.op('Mul', [x, graph.scalar(factor)]);
    const scaled = times(normed, inputScale);
    const input = projection === undefined ? scaled : emitLinearOver(graph, projection, scaled);
    return emitSoftCap(graph, times(outputs(linear, input), logitScale), softCap);
  }
}
