import type { CandidateDistance } from './layer-profile';
import type { ScorerSetup, SublayerObserver } from './scorer';

/**
 * 1 − cos(x, x + f(x)) of each sublayer's own input and output, mean over tokens (LLM-Drop,
 * ShortGPT's block influence): costs nothing beside the dense run, and says nothing of the logits.
 */
export class CosineLocal {
  private readonly sums: number[];
  private readonly tokens: number[];

  public constructor(private readonly setup: ScorerSetup) {
    const { sublayers } = setup.executor.model.summary;
    this.sums = sublayers.map(() => 0);
    this.tokens = sublayers.map(() => 0);
  }

  public readonly observe: SublayerObserver = (index, before, after) => {
    const { hiddenSize } = this.setup.executor.model.summary;
    for (let start = 0; start < before.length; start += hiddenSize) {
      let product = 0;
      let squareBefore = 0;
      let squareAfter = 0;
      for (let i = start; i < start + hiddenSize; i++) {
        const x = before[i] ?? 0;
        const y = after[i] ?? 0;
        product += x * y;
        squareBefore += x * x;
        squareAfter += y * y;
      }
      const cosine = product / Math.sqrt(squareBefore * squareAfter);
      this.sums[index] = (this.sums[index] ?? 0) + Math.max(0, 1 - cosine);
      this.tokens[index] = (this.tokens[index] ?? 0) + 1;
    }
  };

  /** By sublayer, in model order. */
  public distances(): readonly CandidateDistance[] {
    return this.setup.executor.model.summary.sublayers.map(({ id }, index) => ({
      sublayer: id,
      distance: (this.sums[index] ?? 0) / (this.tokens[index] ?? 1),
    }));
  }
}
