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

/** What two models predict behind the same tokens; absent where they can't be compared, or windows are too few. */
export interface PredictionsCompared {
  /** KL(p‖q) in nats of a token, p being the original's probabilities, mean over tokens. */
  readonly klDivergence?: Interval;
  /** Share of the tokens for which both find the same next token likeliest. */
  readonly agreement?: Interval;
}

export interface EvaluationResult extends Evaluation, PredictionsCompared {
  /** The model that it is compared with. */
  readonly against?: Evaluation;
  /** Its perplexity over that model's; absent where the two read the text as different tokens, or in too few windows. */
  readonly perplexityRatio?: Interval;
}
