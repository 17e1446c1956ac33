import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { partTensors } from '../transformer/part-tensors';
import type { ModelConfig } from '../transformer/model-config';
import { sigmoidGelu } from './activations';
import type { AttentionSource } from './attention-part';
import { emitNorm } from './norm';
import type { NormStyle } from './norm';
import type { FindPart } from './find-parts';

/** A part that some architectures add to an MLP or to experts. It has its own tensors, and changes values on their way. */
export interface MlpPart {
  readonly tensors?: readonly LazyTensor[];
  /** True if the part has values per channel or combines channels, so that single channels can't be removed. */
  readonly dependsOnChannels: boolean;
  /** Changes the input of the activation. */
  readonly gate?: (graph: GraphBuilder, gate: Value) => Value;
  /** Replaces the activation. */
  readonly activation?: (graph: GraphBuilder, x: Value) => Value;
  /** Replaces activation(gate) · up. */
  readonly product?: (
    graph: GraphBuilder,
    gate: Value,
    up: Value,
    activate: (x: Value) => Value,
  ) => Value;
  /** Changes the input of the down projection. */
  readonly inner?: (graph: GraphBuilder, x: Value) => Value;
}

/** The model and the MLP that a part is found for. */
export interface MlpSource extends Pick<AttentionSource, 'tensors' | 'block' | 'prefix'> {
  readonly config: ModelConfig;
  /** Number of channels. */
  readonly inner: number;
  readonly norm: NormStyle;
}

export type FindMlpPart<Names = object> = FindPart<MlpPart, MlpSource, Names>;

/** Bounds gate ≤ limit and |up| ≤ limit. */
interface GateBounds {
  /** Computes (up + 1) · gate · σ(alpha · gate) instead of activation(gate) · up (gpt-oss, arXiv 2508.10925). */
  readonly alpha?: number;
  readonly limit: number;
}

/** Gate and up within bounds. */
export const clampedGate: FindMlpPart<(config: ModelConfig) => GateBounds> = (
  boundsOf,
  { config },
) => {
  const { alpha, limit } = boundsOf(config);
  return {
    dependsOnChannels: false,
    product: (graph, gate, up, activate) => {
      const low = graph.op('Min', [gate, graph.scalar(limit)]);
      const near = graph.op('Clip', [up, graph.scalar(-limit), graph.scalar(limit)]);
      return alpha === undefined
        ? graph.op('Mul', [activate(low), near])
        : graph.op('Mul', [
            graph.op('Add', [near, graph.scalar(1)]),
            sigmoidGelu(alpha)(graph, low),
          ]);
    },
  };
};

/** Factor on the input of the activation. */
export const scaledGate: FindMlpPart<(config: ModelConfig) => number> = (scaleOf, { config }) => {
  const scale = scaleOf(config);
  return scale === 1
    ? undefined
    : {
        dependsOnChannels: false,
        gate: (graph, gate) => graph.op('Mul', [gate, graph.scalar(scale)]),
      };
};

/** A norm of the input of the down projection. Its mean depends on the channels. */
export const innerMlpNorm: FindMlpPart<string> = (name, { tensors, prefix, inner, norm }) => {
  const gain = tensors.norm(`${prefix}${name}`, inner);
  return {
    tensors: partTensors(gain),
    dependsOnChannels: true,
    inner: (graph, x) => emitNorm(graph, norm, x, gain),
  };
};
