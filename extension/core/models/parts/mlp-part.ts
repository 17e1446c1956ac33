import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { partTensors, findParts } from '../transformer/part-tensors';
import type { ModelConfig } from '../transformer/model-config';
import { sigmoidGelu } from './activations';
import type { AttentionSource } from './attention-part';
import { emitNorm } from './norm';
import type { NormStyle } from './norm';
import type { FindPart, PartNames } from '../transformer/part-tensors';
import { emitWeight } from './weight';

/** Weights of the activation xIELU (arXiv 2411.13010). */
interface Xielu {
  /** [1] each, before softplus. */
  readonly positive: LazyTensor;
  readonly negative: LazyTensor;
  /** [] */
  readonly beta: LazyTensor;
  /** []: upper bound of the exponent. */
  readonly epsilon: LazyTensor;
}

/** The activation xIELU, with weights below a module of the block. */
const xielu: FindMlpPart<string> = (module, { tensors, prefix }) => {
  const weight = (name: string, shape: readonly number[]): LazyTensor =>
    tensors.take(`${prefix}${module}.${name}`, shape);
  const curve: Xielu = {
    positive: weight('alpha_p', [1]),
    negative: weight('alpha_n', [1]),
    beta: weight('beta', []),
    epsilon: weight('eps', []),
  };
  return {
    tensors: Object.values(curve) as LazyTensor[],
    dependsOnChannels: false,
    activation: (graph, x) => emitXielu(graph, x, curve),
  };
};

/** α₊x² + βx where x > 0, else α₋(exp(x) − 1 − x) + βx. */
function emitXielu(
  graph: GraphBuilder,
  x: Value,
  { positive, negative, ...constants }: Xielu,
): Value {
  return graph.step('xielu', () => {
    const beta = emitWeight(graph, constants.beta);
    const epsilon = emitWeight(graph, constants.epsilon);
    const softplus = (tensor: LazyTensor): Value =>
      graph.op('Softplus', [emitWeight(graph, tensor)]);
    const above = graph.op('Mul', [softplus(positive), graph.op('Mul', [x, x])]);
    const exponential = graph.op('Exp', [graph.op('Min', [x, epsilon])]);
    const curve = graph.op('Sub', [graph.op('Sub', [exponential, graph.scalar(1)]), x]);
    const below = graph.op('Mul', [graph.op('Add', [softplus(negative), beta]), curve]);
    const isAbove = graph.op('Greater', [x, graph.scalar(0)]);
    const bent = graph.op('Where', [isAbove, above, below]);
    return graph.op('Add', [bent, graph.op('Mul', [x, beta])]);
  });
}

/** Target share of gates that are zero, assuming a normal distribution; the mean depends on the channels. */
const sparseGates: FindMlpPart<(config: ModelConfig, block: number) => number> = (
  shareOf,
  { config, block },
) => {
  const threshold = sparsityThreshold(shareOf(config, block));
  return threshold === undefined
    ? undefined
    : { dependsOnChannels: true, gate: (graph, gate) => emitOpen(graph, gate, threshold) };
};

/** Threshold, in standard deviations above the mean, that sets this share of gates to 0. */
export const sparsityThreshold = (share: number): number | undefined =>
  share > 0 ? deviationsAbove(share) : undefined;

/**
 * The z below which a standard normal variable is with probability `share`, 0 < share < 1, by Newton's
 * method; Φ(z) = ½ + φ(z) · Σ z²ᵏ⁺¹ / (2k + 1)!! (Abramowitz and Stegun, 26.2.11).
 */
function deviationsAbove(share: number): number {
  let z = 0;
  for (let step = 0; step < 40; step++) {
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    let [term, sum] = [z, z];
    for (let k = 1; Math.abs(term) > 1e-17 && k < 200; k++) {
      term *= (z * z) / (2 * k + 1);
      sum += term;
    }
    z -= (0.5 + density * sum - share) / density;
  }
  return z;
}

/** Emits max(0, x − mean − z · deviation) of rows x [rows, inner]. */
function emitOpen(graph: GraphBuilder, x: Value, z: number): Value {
  return graph.step('largest-gates', () => {
    const mean = (of: Value): Value => graph.op('ReduceMean', [of], { axes: [-1], keepdims: 1 });
    const centered = graph.op('Sub', [x, mean(x)]);
    const deviation = graph.op('Sqrt', [mean(graph.op('Mul', [centered, centered]))]);
    const bound = graph.op('Mul', [deviation, graph.scalar(z)]);
    return graph.op('Relu', [graph.op('Sub', [centered, bound])]);
  });
}

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

type FindMlpPart<Names = object> = FindPart<MlpPart, MlpSource, Names>;

/** Bounds gate ≤ limit and |up| ≤ limit. */
interface GateBounds {
  /** Computes (up + 1) · gate · σ(alpha · gate) instead of activation(gate) · up (gpt-oss, arXiv 2508.10925). */
  readonly alpha?: number;
  readonly limit: number;
}

/** Gate and up within bounds. */
const clampedGate: FindMlpPart<(config: ModelConfig) => GateBounds> = (boundsOf, { config }) => {
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
const scaledGate: FindMlpPart<(config: ModelConfig) => number> = (scaleOf, { config }) => {
  const scale = scaleOf(config);
  return scale === 1
    ? undefined
    : {
        dependsOnChannels: false,
        gate: (graph, gate) => graph.op('Mul', [gate, graph.scalar(scale)]),
      };
};

/** A norm of the input of the down projection. Its mean depends on the channels. */
const innerMlpNorm: FindMlpPart<string> = (name, { tensors, prefix, inner, norm }) => {
  const gain = tensors.norm(`${prefix}${name}`, inner);
  return {
    tensors: partTensors(gain),
    dependsOnChannels: true,
    inner: (graph, x) => emitNorm(graph, norm, x, gain),
  };
};

const finders = {
  clamp: clampedGate,
  gateScale: scaledGate,
  innerNorm: innerMlpNorm,
  sparsity: sparseGates,
  xielu,
} satisfies Record<string, FindMlpPart<never>>;

/** Parts of an MLP or of experts in the table of an architecture, in order. */
export type MlpPartNames = PartNames<typeof finders>;

export const findMlpParts = (names: MlpPartNames | undefined, source: MlpSource): MlpPart[] =>
  findParts<MlpPart, MlpSource, typeof finders>(finders, names, source);
