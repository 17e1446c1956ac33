import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { emitTop1Miss, emitNegativeLogLikelihood, requireNextTokens } from '../runtime/next-token';
import { givesLogits } from '../models/capabilities';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import {
  emitAngle,
  emitJensenShannon,
  emitJensenShannonBound,
  emitKullbackLeibler,
  emitKullbackLeiblerBound,
} from './distances';
import { VocabularySums } from './vocabulary-sums';
import { inEnglish, say } from '../message';
import type { Message } from '../message';

/** Inputs of a metric from the logits z of the original and ẑ of a candidate; float32 except for targets. */
export interface MetricInputs {
  /** z [1, rows, vocabulary] */
  readonly original: Value;
  /** softmax(z) [1, rows, vocabulary], at least {@link leastProbability} */
  readonly probabilities: Value;
  /**
   * ẑ − z [batch, rows, vocabulary]; for metrics that read probabilities, minus a constant of each row that keeps the
   * exponential finite.
   */
  readonly change: Value;
  /** ẑ [batch, rows, vocabulary] */
  readonly candidate: Value;
  /** int64 [1, rows]: the next token's id, or −1 if there is none. */
  readonly targets: Value;
}

export type MetricInput = keyof MetricInputs;

/**
 * Distance between the logits z of the original and ẑ of a pruned model. Every metric is a monotone function of a sum
 * of non-negative terms over tokens; this makes early stopping exact.
 */
export interface Metric {
  /** True if it compares probabilities; the output must be logits of classes or tokens. */
  readonly needsScores: boolean;
  /** Explanation in everyday words. */
  readonly meaning: string;
  /** Formula and normalization, for users. */
  readonly definition: Message;
  readonly reads: readonly MetricInput[];
  /** True if it is measured on the correct answers of a task. */
  readonly asksAnswers?: true;
  /** Emits one non-negative term per token, [batch, rows], from the inputs that it reads. */
  readonly emitTerms: (
    graph: GraphBuilder,
    inputs: Partial<MetricInputs>,
    vocabulary: number,
  ) => Value;
  /** Emits lower bounds of the terms from some ids, given the original's probabilities at these ids. */
  readonly emitBounds?: Metric['emitTerms'];
  /** A sequence's contribution to the total, from the sum of its tokens' terms. */
  readonly sequenceTerm: (sum: number) => number;
  /** Distance computed from the total over sequences. */
  readonly distance: (total: number, sequences: number, length: number) => number;
}

/** Tolerance for float32 rounding of a token's bound and term, both sums of thousands of products. */
const boundSlack = { share: 1e-3, nats: 3e-5 };

const perToken = (total: number, sequences: number, length: number): number =>
  total / (sequences * length);
const unchanged = (sum: number): number => sum;

/** Loss terms, which read the targets but not the original; the distance of the original to itself isn't 0. */
const nextTokenLoss = {
  needsScores: true,
  reads: ['candidate', 'targets'],
  emitTerms: (graph, inputs) => {
    const { candidate, targets } = chosen(inputs, ['candidate', 'targets']);
    return emitNegativeLogLikelihood(graph, candidate, targets);
  },
  sequenceTerm: unchanged,
} satisfies Omit<Metric, 'meaning' | 'definition' | 'distance'>;

/** Formulas: FinerCut (arXiv 2405.18218), section 3, and its code; p = softmax(z), q = softmax(ẑ), m = ½(p + q). */
const formulas = {
  js: {
    needsScores: true,
    meaning: 'Symmetric difference between the predicted probabilities',
    definition: say`Jensen–Shannon divergence ½[KL(p‖m) + KL(q‖m)], mean over tokens, in nats`,
    ...reading(['probabilities', 'change'], (sums, { probabilities, change }) =>
      emitJensenShannon(sums, probabilities, change, 'from-mixture'),
    ),
    emitBounds: bounding(emitJensenShannonBound),
    sequenceTerm: unchanged,
    distance: perToken,
  },
  'js-reference': {
    needsScores: true,
    meaning: 'Like js, with the mean distribution first',
    definition: say`½[KL(m‖p) + KL(m‖q)], with the arguments in the order of the authors' code, mean over tokens, in nats`,
    ...reading(['probabilities', 'change'], (sums, { probabilities, change }) =>
      emitJensenShannon(sums, probabilities, change, 'to-mixture'),
    ),
    sequenceTerm: unchanged,
    distance: perToken,
  },
  kl: {
    needsScores: true,
    meaning:
      'Difference between the predicted probabilities, from the point of view of the original',
    definition: say`Kullback–Leibler divergence KL(p‖q), mean over tokens (the standard form), in nats`,
    ...reading(['probabilities', 'change'], (sums, { probabilities, change }) =>
      emitKullbackLeibler(sums, probabilities, change),
    ),
    emitBounds: bounding(emitKullbackLeiblerBound),
    sequenceTerm: unchanged,
    distance: perToken,
  },
  norm: {
    needsScores: false,
    meaning: 'Distance between the raw outputs (logits), regardless of the effect on predictions',
    definition: say`Frobenius norm ‖Z − Ẑ‖ of the logits of each sequence, averaged over sequences`,
    ...reading(['change'], (sums, { change }) => sums.product(change, change)),
    sequenceTerm: Math.sqrt,
    distance: (total, sequences) => total / sequences,
  },
  angular: {
    needsScores: false,
    meaning: 'Angle between the raw outputs (logits)',
    definition: say`arccos(clamp(cos(z, ẑ), 0, 1)), mean over tokens, in radians`,
    ...reading(['original', 'change'], (sums, { original, change }) =>
      emitAngle(sums, original, change),
    ),
    sequenceTerm: unchanged,
    distance: perToken,
  },
  perplexity: {
    meaning: 'Perplexity of the changed model on the calibration text, lower is better',
    definition: say`exp(mean negative log-likelihood of the next token)`,
    ...nextTokenLoss,
    distance: (total, sequences, length) => Math.exp(total / (sequences * (length - 1))),
  },
  answers: {
    meaning: 'Loss on the right answers of a task, lower is better',
    definition: say`Negative log-likelihood of the right answers of a task (JSONL), averaged over its examples, in nats`,
    ...nextTokenLoss,
    asksAnswers: true,
    distance: (total, sequences) => total / sequences,
  },
  accuracy: {
    needsScores: true,
    meaning: 'Error rate on a task',
    definition: say`Share of the right answers of a task (JSONL) with a token that isn't the top-1 prediction (1 − accuracy)`,
    reads: ['candidate', 'targets'],
    emitTerms: (graph, inputs) => {
      const { candidate, targets } = chosen(inputs, ['candidate', 'targets']);
      return emitTop1Miss(graph, candidate, targets);
    },
    asksAnswers: true,
    // One wrong token makes the answer wrong.
    sequenceTerm: (misses) => Math.min(1, misses),
    distance: (total, sequences) => total / sequences,
  },
} satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof formulas;
/** Distances between the logits of the original and of a changed model (FinerCut, arXiv 2405.18218, section 3). */
export const metrics: Readonly<Record<MetricName, Metric>> = formulas;
export const metricNames = Object.keys(formulas) as MetricName[];

/** True if a metric is measured on the correct answers of a task. */
export const asksAnswers = (name: MetricName | undefined): boolean =>
  name !== undefined && metrics[name].asksAnswers === true;

/** Metric used if none is requested. */
export const defaultMetric: MetricName = 'js';
/** Default metric of models whose output holds values instead of logits. */
const valuesMetric: MetricName = 'norm';

/**
 * English formula of a metric for a model's output, for saved documents; explains the replacement if there are no
 * logits.
 */
export function describeMetric(name: MetricName, model: Pick<LayeredModel, 'output'>): string {
  const definition = inEnglish(metrics[name].definition);
  const logits = givesLogits(model);
  return logits.able
    ? definition
    : `${definition.replace('logits', model.output.name)}. ${inEnglish(logits.reason)}`;
}

/**
 * Metric to measure a model by: the requested one, or {@link valuesMetric} if the default doesn't fit the output.
 * @throws UserError if another metric was requested that doesn't fit
 */
export function fittingMetric(
  { output, summary }: Pick<LayeredModel, 'output' | 'summary'>,
  asked: MetricName,
  warn: (message: Message) => void,
): MetricName {
  if (metrics[asked].reads.includes('targets')) {
    requireNextTokens({ output, summary });
  }
  if (!metrics[asked].needsScores) {
    return asked;
  }
  const logits = givesLogits({ output });
  if (logits.able) {
    return asked;
  }
  const problem = say`${logits.reason} ${asked} compares probabilities.`;
  if (asked !== defaultMetric) {
    const remedy = say`Choose ${metricNames.filter((name) => !metrics[name].needsScores).join(' or ')}.`;
    throw new UserError('metric-not-measurable', problem, {
      file: summary.path,
      field: 'metric',
      remedy,
    });
  }
  warn(say`${problem} The distance is ${valuesMetric} instead.`);
  return valuesMetric;
}

/** Metric whose terms [batch, rows, 1] are computed from sums over the vocabulary. */
function reading<K extends MetricInput>(
  reads: readonly K[],
  emit: (sums: VocabularySums, inputs: Pick<MetricInputs, K>) => Value,
): Pick<Metric, 'reads' | 'emitTerms'> {
  return {
    reads,
    emitTerms: (graph, inputs, vocabulary) => {
      const terms = emit(new VocabularySums(graph, vocabulary), chosen(inputs, reads));
      // Rounding may make a sum slightly negative.
      return graph.op('Relu', [graph.op('Squeeze', [terms, graph.ints([-1])])]);
    },
  };
}

/** Lower bounds [batch, rows] computed from sums over some ids. */
function bounding(
  emit: (sums: VocabularySums, probabilities: Value, change: Value) => Value,
): Metric['emitTerms'] {
  return (graph, inputs, count) => {
    const { probabilities, change } = chosen(inputs, ['probabilities', 'change']);
    const bounds = emit(new VocabularySums(graph, count), probabilities, change);
    const sure = graph.op('Mul', [bounds, graph.scalar(1 - boundSlack.share)]);
    const least = graph.op('Sub', [sure, graph.scalar(boundSlack.nats)]);
    return graph.op('Relu', [graph.op('Squeeze', [least, graph.ints([-1])])]);
  };
}

function chosen<K extends MetricInput>(
  inputs: Partial<MetricInputs>,
  names: readonly K[],
): Pick<MetricInputs, K> {
  const entries = names.map((name) => [name, inputs[name] ?? missing(name)] as const);
  return Object.fromEntries(entries) as Pick<MetricInputs, K>;
}

function missing(name: string): never {
  throw new Error(`the metric reads ${name}, which is not given`);
}
