/** Tokens of context that memory is told for. */
export const gateContext = 4096;

interface Kept {
  readonly bytes: number;
  readonly sublayers: readonly { readonly kvBytesPerToken: number }[];
}

/** Bytes of the weights and, at `tokens` of context, of keys and values, both as stored. */
export function memoryAt({ bytes, sublayers }: Kept, tokens: number): number {
  return sublayers.reduce((sum, { kvBytesPerToken }) => sum + tokens * kvBytesPerToken, bytes);
}
