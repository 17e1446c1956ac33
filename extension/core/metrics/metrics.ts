import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { emitNegativeLogLikelihood, requireNextTokens } from '../runtime/next-token';
import { givesLogits } from '../models/capabilities';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { defaultMetric, metricNames } from './metric-names';
import type { MetricName } from './metric-names';

/** Logits of both models, [batch, sequence, vocabulary], and what comes next in the text. */
export interface MetricInputs {
  /** Batch 1: broadcast over the candidates. */
  readonly original: Value;
  readonly candidate: Value;
  /** int64 [1, sequence]: the next token's id, or −1 where there is none. */
  readonly targets: Value;
}

/**
 * A distance between the logits z of the original and ẑ of a pruned model. Every metric is a monotone
 * function of a sum of non-negative terms over tokens, which is what makes early stopping exact.
 */
export interface Metric {
  /** Whether it compares probabilities, so that the output must be logits of classes or tokens. */
  readonly needsScores: boolean;
  /** Formula and normalisation, for people. */
  readonly definition: string;
  /** Emits one non-negative term per token: [batch, sequence]. */
  readonly emitTerms: (graph: GraphBuilder, inputs: MetricInputs) => Value;
  /** A sequence's share of the total, from the sum of its tokens' terms. */
  readonly sequenceTerm: (sum: number) => number;
  /** The distance, from the total over sequences. */
  readonly distance: (total: number, sequences: number, length: number) => number;
}

const perToken = (total: number, sequences: number, length: number): number =>
  total / (sequences * length);
const unchanged = (sum: number): number => sum;

/** What is measured in place of the default where the output holds values. */
const valuesMetric: MetricName = 'norm';

/** Formulas: FinerCut (arXiv 2405.18218), section 3, and its code; p = softmax(z), q = softmax(ẑ), m = ½(p + q). */
export const metrics: Readonly<Record<MetricName, Metric>> = {
  js: {
    needsScores: true,
    definition: 'Jensen–Shannon divergence ½[KL(p‖m) + KL(q‖m)], mean over tokens, in nats',
    emitTerms: (graph, inputs) => {
      // p(log p − log m) + q(log q − log m) = 2m·(x·tanh x − log cosh x) with x = ½(log p − log q)
      const { m, x } = mixture(graph, inputs);
      const small = graph.op('Less', [graph.op('Abs', [x]), graph.scalar(seriesBelow)]);
      const series = evenSeries(graph, x, [1 / 2, -1 / 4, 1 / 9, -17 / 360]);
      const direct = graph.op('Sub', [
        graph.op('Mul', [x, graph.op('Tanh', [x])]),
        logCosh(graph, x),
      ]);
      return weightedSum(graph, m, graph.op('Where', [small, series, direct]));
    },
    sequenceTerm: unchanged,
    distance: perToken,
  },
  'js-reference': {
    needsScores: true,
    definition:
      "½[KL(m‖p) + KL(m‖q)], as the authors' code orders the arguments, mean over tokens, in nats",
    emitTerms: (graph, inputs) => {
      // log m − ½(log p + log q) = log cosh x with x = ½(log p − log q)
      const { m, x } = mixture(graph, inputs);
      const small = graph.op('Less', [graph.op('Abs', [x]), graph.scalar(seriesBelow)]);
      const series = evenSeries(graph, x, [1 / 2, -1 / 12, 1 / 45, -17 / 2520]);
      return weightedSum(graph, m, graph.op('Where', [small, series, logCosh(graph, x)]));
    },
    sequenceTerm: unchanged,
    distance: perToken,
  },
  kl: {
    needsScores: true,
    definition:
      'Kullback–Leibler divergence KL(p‖q), mean over tokens (the standard form), in nats',
    emitTerms: (graph, inputs) => {
      const logP = logSoftmax(graph, inputs.original);
      const difference = graph.op('Sub', [logP, logSoftmax(graph, inputs.candidate)]);
      return weightedSum(graph, graph.op('Exp', [logP]), difference);
    },
    sequenceTerm: unchanged,
    distance: perToken,
  },
  norm: {
    needsScores: false,
    definition: 'Frobenius norm ‖Z − Ẑ‖ of each sequence’s logits, mean over sequences',
    emitTerms: (graph, { original, candidate }) =>
      lastAxis(graph, 'ReduceSumSquare', graph.op('Sub', [original, candidate])),
    sequenceTerm: Math.sqrt,
    distance: (total, sequences) => total / sequences,
  },
  angular: {
    needsScores: false,
    definition: 'arccos(clamp(cos(z, ẑ), 0, 1)), mean over tokens, in radians',
    emitTerms: (graph, { original, candidate }) => {
      // 2·arcsin(‖u − v‖ / 2) of unit vectors keeps its accuracy where arccos near 1 loses it
      const unit = (logits: Value): Value =>
        graph.op('Div', [logits, graph.op('ReduceL2', [logits], { axes: [-1], keepdims: 1 })]);
      const gap = lastAxis(graph, 'ReduceL2', graph.op('Sub', [unit(original), unit(candidate)]));
      const half = graph.op('Mul', [gap, graph.scalar(0.5)]);
      const bounded = graph.op('Min', [half, graph.scalar(Math.SQRT1_2)]);
      return graph.op('Mul', [graph.op('Asin', [bounded]), graph.scalar(2)]);
    },
    sequenceTerm: unchanged,
    distance: perToken,
  },
  perplexity: {
    needsScores: true,
    definition: 'perplexity of the calibration text: exp(mean negative log-likelihood)',
    emitTerms: (graph, { candidate, targets }) =>
      emitNegativeLogLikelihood(graph, candidate, targets),
    sequenceTerm: unchanged,
    distance: (total, sequences, length) => Math.exp(total / (sequences * (length - 1))),
  },
};

/** Formula of a metric for a model's output; says why where that has no logits. */
export function describeMetric(name: MetricName, model: Pick<LayeredModel, 'output'>): string {
  const { definition } = metrics[name];
  const logits = givesLogits(model);
  return logits.able
    ? definition
    : `${definition.replace('logits', model.output.name)}. ${logits.reason}`;
}

/**
 * The distance to measure a model by: the one asked for, or, where the default does not fit its
 * output, one of values.
 * @throws UserError where another was asked for that does not fit.
 */
export function fittingMetric(
  { output, summary }: Pick<LayeredModel, 'output' | 'summary'>,
  asked: MetricName,
  warn: (message: string) => void,
): MetricName {
  if (asked === 'perplexity') {
    requireNextTokens({ output, summary });
  }
  if (!metrics[asked].needsScores) {
    return asked;
  }
  const logits = givesLogits({ output });
  if (logits.able) {
    return asked;
  }
  const problem = `${logits.reason} ${asked} compares probabilities.`;
  if (asked !== defaultMetric) {
    const remedy = `Choose ${metricNames.filter((name) => !metrics[name].needsScores).join(' or ')}.`;
    throw new UserError(problem, { file: summary.path, field: 'metric', remedy });
  }
  warn(`${problem} The distance is ${valuesMetric} instead.`);
  return valuesMetric;
}

/** Below this |x| a series in x² is more accurate than the closed form in float32. */
const seriesBelow = 0.25;

function logSoftmax(graph: GraphBuilder, logits: Value): Value {
  return graph.op('LogSoftmax', [logits], { axis: -1 });
}

function mixture(
  graph: GraphBuilder,
  { original, candidate }: MetricInputs,
): { m: Value; x: Value } {
  const logP = logSoftmax(graph, original);
  const logQ = logSoftmax(graph, candidate);
  const sum = graph.op('Add', [graph.op('Exp', [logP]), graph.op('Exp', [logQ])]);
  const half = graph.scalar(0.5);
  return {
    m: graph.op('Mul', [sum, half]),
    x: graph.op('Mul', [graph.op('Sub', [logP, logQ]), half]),
  };
}

/** log cosh x = |x| + log(1 + exp(−2|x|)) − log 2, which does not overflow. */
function logCosh(graph: GraphBuilder, x: Value): Value {
  const size = graph.op('Abs', [x]);
  // Five times as fast as Softplus, and as accurate where it is used, above seriesBelow.
  const decay = graph.op('Exp', [graph.op('Mul', [size, graph.scalar(-2)])]);
  const tail = graph.op('Log', [graph.op('Add', [decay, graph.scalar(1)])]);
  return graph.op('Sub', [graph.op('Add', [size, tail]), graph.scalar(Math.LN2)]);
}

/** c₀x² + c₁x⁴ + … */
function evenSeries(graph: GraphBuilder, x: Value, coefficients: readonly number[]): Value {
  const square = graph.op('Mul', [x, x]);
  const [last = 0, ...others] = [...coefficients].reverse();
  const sum = others.reduce(
    (inner, coefficient) =>
      graph.op('Add', [graph.op('Mul', [inner, square]), graph.scalar(coefficient)]),
    graph.scalar(last),
  );
  return graph.op('Mul', [sum, square]);
}

/** Σᵥ weights·values, no less than 0 (rounding may leave it a little under). */
function weightedSum(graph: GraphBuilder, weights: Value, values: Value): Value {
  return graph.op('Relu', [lastAxis(graph, 'ReduceSum', graph.op('Mul', [weights, values]))]);
}

/** Reduces the vocabulary axis away. */
function lastAxis(graph: GraphBuilder, type: string, x: Value): Value {
  // From opset 13 on, ReduceSum alone takes its axes as an input.
  return type === 'ReduceSum'
    ? graph.op(type, [x, graph.ints([-1])], { keepdims: 0 })
    : graph.op(type, [x], { axes: [-1], keepdims: 0 });
}
