import type { Interval } from './paired';

/** Perplexity and speed of one model on one text. */
export interface Evaluation {
  /** exp(mean negative log-likelihood of the next token). */
  readonly perplexity: number;
  /** Number of predicted tokens. */
  readonly tokens: number;
  /** Tokens run through the model per second (whole sequences at once, not generation). */
  readonly tokensPerSecond: number;
  /** Present for GGUF files if llama.cpp is installed. */
  readonly llamaCpp?: LlamaTiming;
}

/** Speed of a GGUF file in llama.cpp, medians: a prompt of 128 tokens at once, then 32 tokens one by one. */
export interface LlamaTiming {
  /** Release of llama.cpp. */
  readonly release: string;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly threads: number;
}

/**
 * Predictions of two models after the same tokens; absent if they can't be compared or there are
 * too few windows.
 */
export interface PredictionsCompared {
  /** Mean KL(p‖q) in nats per token, where p are the original's probabilities. */
  readonly klDivergence?: Interval;
  /** Percentiles of the KL divergence over tokens. */
  readonly klPercentiles?: DivergencePercentiles;
  /** Share of the tokens for which both models rank the same next token first. */
  readonly agreement?: Interval;
  /** Root mean square change of the probability of the token that comes next (RMS Δp). */
  readonly probabilityChange?: Interval;
}

/** Percentiles of the KL divergence over tokens, in nats. */
export interface DivergencePercentiles {
  readonly median: Interval;
  /** 99 % of the tokens are below. */
  readonly p99: Interval;
  /** 99.9 % of the tokens are below. */
  readonly p999: Interval;
  readonly maximum: number;
}

/** Measurements of one or two models on a text. */
export interface EvaluationResult extends Evaluation, PredictionsCompared {
  /** Evaluation of the model to compare with. */
  readonly against?: Evaluation;
  /**
   * Ratio of the model's perplexity to that of `against`; absent if their tokens differ or there are too few windows.
   */
  readonly perplexityRatio?: Interval;
  /** Measurements of each domain, if the text has several. */
  readonly domains?: readonly DomainEvaluation[];
}

/** Measurements on one domain of a text, such as prose or code. */
export interface DomainEvaluation extends PredictionsCompared {
  readonly domain: string;
  readonly perplexity: number;
  readonly tokens: number;
  /** Perplexity of the model to compare with. */
  readonly against?: number;
  readonly perplexityRatio?: Interval;
}

/**
 * Measurements of a model against saved log-probabilities of another, which has no speed because it
 * wasn't run.
 */
export interface BaseEvaluation extends Omit<EvaluationResult, 'against' | 'domains'> {
  readonly against: Omit<Evaluation, 'tokensPerSecond'>;
}
