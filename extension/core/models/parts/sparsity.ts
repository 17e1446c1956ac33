import type { GraphBuilder, Value } from '../../onnx/graph-builder';

/** Gate threshold that sets this share of an MLP's gates to 0, assuming a normal distribution. */
export function sparsityThreshold(share = 0): { readonly openFrom?: number } {
  return share > 0 ? { openFrom: deviationsAbove(share) } : {};
}

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
export function emitOpen(graph: GraphBuilder, x: Value, z: number): Value {
  return graph.step('largest-gates', () => {
    const mean = (of: Value): Value => graph.op('ReduceMean', [of], { axes: [-1], keepdims: 1 });
    const centred = graph.op('Sub', [x, mean(x)]);
    const deviation = graph.op('Sqrt', [mean(graph.op('Mul', [centred, centred]))]);
    const bound = graph.op('Mul', [deviation, graph.scalar(z)]);
    return graph.op('Relu', [graph.op('Sub', [centred, bound])]);
  });
}
