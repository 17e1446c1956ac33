import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { MixerInput } from './mixer-kind';
import { emitCarriedScan } from './pieces';

/** Sizes of the state that each head carries along: a matrix [keys, values]. */
export interface StateSize {
  readonly heads: number;
  readonly keys: number;
  readonly values: number;
}

/** Inputs of the state update at each position, all with leading axes [batch, sequence, heads]. */
export interface Recurrence {
  /** Decay factor of the state, or the input of `decayOf`; broadcast against [keys, values]. */
  readonly decay: Value;
  readonly decayOf?: (graph: GraphBuilder, decay: Value) => Value;
  /** [1, keys] */
  readonly key: Value;
  readonly query: Value;
  /** [1, values] */
  readonly value: Value;
  /** [1, 1]: share of the retrieved value that is replaced (delta rule, arXiv 2412.06464). */
  readonly rate?: Value;
}

/**
 * Emits y = q·S at each position, [batch, sequence, heads, 1, values], with S = a·S + kᵀ·v, or by the delta
 * rule S = S' + rate · kᵀ·(v − k·S') of S' = a·S.
 */
export function emitRecurrence(
  input: MixerInput,
  { heads, keys, values }: StateSize,
  { decay, decayOf, key, query, value, rate }: Recurrence,
): Value {
  const items = [decay, key, query, value, ...(rate === undefined ? [] : [rate])];
  const sizes = [heads, keys, values];
  const item = ['batch', heads, 1, values];
  return emitCarriedScan(input, sizes, items, item, (body, before, at) => {
    const [a = '', k = '', q = '', v = '', share] = at;
    const decayed = body.op('Mul', [before, decayOf?.(body, a) ?? a]);
    const added =
      share === undefined
        ? v
        : body.op('Mul', [body.op('Sub', [v, body.op('MatMul', [k, decayed])]), share]);
    const column = body.op('Transpose', [k], { perm: [0, 1, 3, 2] });
    const next = body.op('Add', [decayed, body.op('Mul', [column, added])]);
    return { next, result: body.op('MatMul', [q, next]) };
  });
}
