import type { CompressionState, ToCompression } from '../../extension/protocol/compression';
import { patched } from '../patched';
import type { Matrix } from './types';

/** The host's state after one more of its messages; undefined until it has answered `ready`. */
export function received(
  state: CompressionState | undefined,
  message: ToCompression,
): CompressionState | undefined {
  if (message.type === 'state') return message.state;
  if (state === undefined) return undefined;
  if (message.type === 'patch') {
    return patched(state, message);
  }
  const { table } = state;
  if (table === undefined) return state;
  const measured = new Map(message.layers.map(({ tensor, entries }) => [tensor, entries]));
  const known = <M extends Matrix>(matrix: M): M => {
    const entries = measured.get(matrix.tensor);
    return entries === undefined ? matrix : { ...matrix, entries };
  };
  const { layers, outer } = table;
  const next = {
    ...table,
    layers: layers.map(known),
    ...(outer === undefined ? {} : { outer: outer.map(known) }),
  };
  return { ...state, table: next, findings: message.findings };
}
