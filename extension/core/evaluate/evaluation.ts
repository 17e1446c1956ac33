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
  /** The second model of `--against`. */
  readonly against?: Evaluation;
}
