import type { CompressionState, ToCompression } from '../../extension/protocol/compression';

/** The host's state after one more of its messages; undefined until it has answered `ready`. */
export function received(
  state: CompressionState | undefined,
  message: ToCompression,
): CompressionState | undefined {
  if (message.type === 'state') return message.state;
  if (state === undefined) return undefined;
  if (message.type === 'patch') {
    const cleared = Object.fromEntries(message.cleared.map((field) => [field, undefined]));
    return { ...state, ...message.patch, ...(cleared as Partial<CompressionState>) };
  }
  const { table } = state;
  if (table === undefined) return state;
  const measured = new Map(message.layers.map((layer) => [layer.tensor, layer]));
  const layers = table.layers.map((layer) => measured.get(layer.tensor) ?? layer);
  return { ...state, table: { ...table, layers }, findings: message.findings };
}
