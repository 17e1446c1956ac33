import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitWeight } from './weight';

/**
 * `rms`: x / √(mean(x²) + ε) · g (arXiv 1910.07467); `rms-offset`: the same with 1 + g; `layer`:
 * layer norm with gain and bias (arXiv 1607.06450), or with a gain alone. All over the last axis.
 */
export type NormKind = 'rms' | 'rms-offset' | 'layer' | 'layer-without-bias';

/** What the norms of a model have in common. */
export interface NormStyle {
  readonly kind: NormKind;
  readonly epsilon: number;
}

/** Weights of one norm. */
export interface Norm {
  /** [width], or [heads, width] where each head has a gain of its own. */
  readonly weight: LazyTensor;
  /** Of layer norms alone. */
  readonly bias?: LazyTensor;
}

export function emitNorm(graph: GraphBuilder, style: NormStyle, x: Value, norm: Norm): Value {
  const stored = emitWeight(graph, norm.weight);
  if (style.kind === 'layer' || style.kind === 'layer-without-bias') {
    const bias = norm.bias === undefined ? [] : [emitWeight(graph, norm.bias)];
    const attributes = { axis: -1, epsilon: float(style.epsilon) };
    const { shape } = norm.weight;
    if (shape.length === 1) {
      return graph.op('LayerNormalization', [x, stored, ...bias], attributes);
    }
    // The operator takes one gain for all heads.
    const ones = graph.floats(new Float32Array(shape.at(-1) ?? 1).fill(1), shape.slice(-1));
    return graph.op('Mul', [graph.op('LayerNormalization', [x, ones], attributes), stored]);
  }
  const gain = style.kind === 'rms' ? stored : graph.op('Add', [stored, graph.scalar(1)]);
  const square = graph.op('Pow', [x, graph.scalar(2)]);
  const mean = graph.op('ReduceMean', [square], { axes: [-1], keepdims: 1 });
  const root = graph.op('Sqrt', [graph.op('Add', [mean, graph.scalar(style.epsilon)])]);
  return graph.op('Mul', [graph.op('Div', [x, root]), gain]);
}

/** How a branch of the residual stream begins and ends. */
export interface Branch {
  readonly norm?: Norm;
  readonly postNorm?: Norm;
  /** Of the sum of stream and branch. */
  readonly sumNorm?: Norm;
}

/** Emits the input of a branch. */
export function emitBranchInput(
  graph: GraphBuilder,
  style: NormStyle,
  hidden: Value,
  { norm }: Branch,
): Value {
  return norm === undefined ? hidden : emitNorm(graph, style, hidden, norm);
}

/** Emits sumNorm(hidden + scale · postNorm(branch)). */
export function emitResidual(
  graph: GraphBuilder,
  style: NormStyle,
  scale: number,
  hidden: Value,
  branch: Value,
  { postNorm, sumNorm }: Branch,
): Value {
  const normed = postNorm === undefined ? branch : emitNorm(graph, style, branch, postNorm);
  const scaled = scale === 1 ? normed : graph.op('Mul', [normed, graph.scalar(scale)]);
  const sum = graph.op('Add', [hidden, scaled]);
  return sumNorm === undefined ? sum : emitNorm(graph, style, sum, sumNorm);
}

/** cap · tanh(x / cap): x where it is small, never beyond ±cap (arXiv 2408.00118, § 2). */
export function emitSoftCap(graph: GraphBuilder, x: Value, cap: number | undefined): Value {
  if (cap === undefined) {
    return x;
  }
  const tanh = graph.op('Tanh', [graph.op('Div', [x, graph.scalar(cap)])]);
  return graph.op('Mul', [tanh, graph.scalar(cap)]);
}
