import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelConfig } from '../transformer/model-config';
import type { FindMlpPart } from './mlp-part';

/** Target share of gates that are zero, assuming a normal distribution; the mean depends on the channels. */
export const sparseGates: FindMlpPart<(config: ModelConfig, block: number) => number> = (
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
