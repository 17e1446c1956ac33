/** A token as text, and how likely a model finds it. */
export interface TokenChance {
  readonly text: string;
  /** Before temperature and limits change it. */
  readonly probability: number;
}

/** Ids with their probabilities by logits, [vocabulary]: the chosen one's first, then the likeliest `count`. */
export function chancesOf(
  logits: Float32Array,
  chosen: number,
  count: number,
): { readonly chosen: number; readonly likeliest: readonly (readonly [number, number])[] } {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  let total = 0;
  const likeliest: number[] = [];
  const logitOf = (id: number): number => logits[id] ?? Number.NEGATIVE_INFINITY;
  // By index: pairs of so many entries would take longer than their exponentials.
  for (let id = 0; id < logits.length; id++) {
    const logit = logitOf(id);
    total += Math.exp(logit - highest);
    if (likeliest.length < count || logit > logitOf(likeliest.at(-1) ?? 0)) {
      const place = likeliest.findIndex((other) => logitOf(other) < logit);
      likeliest.splice(place < 0 ? likeliest.length : place, 0, id);
      likeliest.length = Math.min(likeliest.length, count);
    }
  }
  const probability = (id: number): number => Math.exp(logitOf(id) - highest) / total;
  return {
    chosen: probability(chosen),
    likeliest: likeliest.map((id) => [id, probability(id)] as const),
  };
}
