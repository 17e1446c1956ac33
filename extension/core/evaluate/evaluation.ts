import type { Interval } from './paired';

/** Perplexity and speed of one model on one text. */
export interface Evaluation {
  /** exp(mean negative log-likelihood of the next token). */
  readonly perplexity: number;
  /** Number of predicted tokens. */
  readonly tokens: number;
  /** Tokens run through the model per second (whole sequences at once, not generation). */
  readonly tokensPerSecond: number;
}

export interface EvaluationResult extends Evaluation {
  /** The model that it is compared with. */
  readonly against?: Evaluation;
  /** Its perplexity over that model's; absent where the two read the text as different tokens, or in too few windows. */
  readonly perplexityRatio?: Interval;
}
