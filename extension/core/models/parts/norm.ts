import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitWeight } from './weight';

/**
 * `rms`: x / √(mean(x²) + ε) · g (arXiv 1910.07467); `rms-offset`: the same with 1 + g; `layer`:
 * layer norm with gain and bias (arXiv 1607.06450), with a gain alone, or with 1 + gain and bias. All
 * over the last axis.
 */
export type NormKind =
  | 'rms'
  | 'rms-offset'
  | 'rms-without-weight'
  | 'layer'
  | 'layer-without-bias'
  | 'layer-without-weight'
  | 'layer-offset';

/** Kind and ε of all norms in a model. */
export interface NormStyle {
  readonly kind: NormKind;
  readonly epsilon: number;
}

/** Weights of one norm. */
export interface Norm {
  /** [width], or [heads, width] for one gain per head; 1 if absent. */
  readonly weight?: LazyTensor;
  /** One weight [width] per head, instead of `weight`. */
  readonly byHead?: readonly LazyTensor[];
  /** Only for layer norms. */
  readonly bias?: LazyTensor;
}

export function emitNorm(graph: GraphBuilder, style: NormStyle, x: Value, norm: Norm): Value {
  return graph.step(style.kind.startsWith('layer') ? 'layer-norm' : 'rms-norm', () => {
    const gain = emitGain(graph, style, norm);
    if (style.kind.startsWith('layer') && norm.weight?.shape.length === 1) {
      const bias = norm.bias === undefined ? [] : [emitWeight(graph, norm.bias)];
      const attributes = { axis: -1, epsilon: float(style.epsilon) };
      return graph.op('LayerNormalization', [x, gain ?? '', ...bias], attributes);
    }
    // The operator supports one gain for all heads, and requires one.
    const shifted = style.kind.startsWith('layer') ? graph.op('Sub', [x, emitMean(graph, x)]) : x;
    const square = emitMean(graph, graph.op('Pow', [shifted, graph.scalar(2)]));
    const root = graph.op('Sqrt', [graph.op('Add', [square, graph.scalar(style.epsilon)])]);
    const normed = graph.op('Div', [shifted, root]);
    return gain === undefined ? normed : graph.op('Mul', [normed, gain]);
  });
}

function emitGain(
  graph: GraphBuilder,
  { kind }: NormStyle,
  { weight, byHead }: Norm,
): Value | undefined {
  const stored =
    byHead !== undefined
      ? emitStack(graph, byHead)
      : weight === undefined
        ? undefined
        : emitWeight(graph, weight);
  return stored !== undefined && kind.endsWith('offset')
    ? graph.op('Add', [stored, graph.scalar(1)])
    : stored;
}

/** Stacks tensors [width] to [count, width]. */
function emitStack(graph: GraphBuilder, tensors: readonly LazyTensor[]): Value {
  const rows = tensors.map((tensor) =>
    graph.op('Unsqueeze', [emitWeight(graph, tensor), graph.ints([0])]),
  );
  return graph.op('Concat', rows, { axis: 0 });
}

const emitMean = (graph: GraphBuilder, x: Value): Value =>
  graph.op('ReduceMean', [x], { axes: [-1], keepdims: 1 });

/** Emits norms one after the other. */
export function emitNorms(
  graph: GraphBuilder,
  style: NormStyle,
  x: Value,
  norms: readonly Norm[] = [],
): Value {
  return norms.reduce((normed, norm) => emitNorm(graph, style, normed, norm), x);
}

/** cap · tanh(x / cap): x where it is small, never beyond ±cap (arXiv 2408.00118, § 2). */
export function emitSoftCap(graph: GraphBuilder, x: Value, cap: number | undefined): Value {
  if (cap === undefined) {
    return x;
  }
  return graph.step('soft-cap', () => {
    const tanh = graph.op('Tanh', [graph.op('Div', [x, graph.scalar(cap)])]);
    return graph.op('Mul', [tanh, graph.scalar(cap)]);
  });
}
