/**
 * The merges of a SentencePiece BPE model, which knows only scores: pieces join in the order of the
 * score of what they join to, and every way to join two pieces of the vocabulary is allowed.
 */
export function mergesByScore(
  tokens: readonly string[],
  scores: readonly number[],
): [string, string][] {
  const known = new Map(tokens.map((token, id) => [token, id]));
  const merges: { readonly pair: [string, string]; readonly score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    const characters = Array.from(token);
    let first = '';
    for (const character of characters.slice(0, -1)) {
      first += character;
      const rest = token.slice(first.length);
      if (known.has(first) && known.has(rest)) {
        merges.push({ pair: [first, rest], score: scores[id] ?? 0 });
      }
    }
  }
  return merges.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}
