/** Loss that was published of a quantized model. */
interface PublishedLoss {
  /** Nats per token. */
  readonly klDivergence: number;
  /** Perplexity over the original's. */
  readonly perplexityRatio: number;
}

/**
 * Losses of Llama 3 8B in llama.cpp's types, on WikiText-2 (`tools/perplexity/README.md` of llama.cpp, LLaMA 3 8b
 * Scoreboard). IQ4_XS with an importance matrix, all others without.
 */
export const publishedLosses: Readonly<Partial<Record<string, PublishedLoss>>> = {
  Q8_0: { klDivergence: 0.001355, perplexityRatio: 1.0004 },
  Q6_K: { klDivergence: 0.005452, perplexityRatio: 1.0035 },
  Q5_K_M: { klDivergence: 0.010762, perplexityRatio: 1.0091 },
  Q4_K_M: { klDivergence: 0.031273, perplexityRatio: 1.0282 },
  IQ4_XS: { klDivergence: 0.036334, perplexityRatio: 1.0366 },
  Q3_K_M: { klDivergence: 0.101913, perplexityRatio: 1.1054 },
  Q2_K: { klDivergence: 0.445132, perplexityRatio: 1.5649 },
};
