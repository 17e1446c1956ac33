import type { Value } from '../../onnx/graph-builder';

/** A gradient that is zero but for `values` at these places along an axis. */
export interface Scattered {
  readonly places: Value;
  readonly values: Value;
  readonly axis: number;
}

interface Product {
  readonly factors: readonly [Value, Value];
  /** Whether the last two axes of a factor are swapped. */
  readonly swaps: readonly [boolean, boolean];
}

/** What a backward pass has emitted that further rules can do better with. */
export class Emitted {
  /** Vectors of ones, by type and sizes. */
  public readonly ones = new Map<string, Value>();
  /** Shapes, by their sizes; some sizes are names. */
  public readonly sizes = new Map<string, Value>();
  public readonly scattered = new Map<Value, Scattered>();
  public readonly products = new Map<Value, Product>();
  /** Gradients that repeat a smaller one, and that. */
  public readonly repeated = new Map<Value, Value>();
}

/** What was emitted under `key`, or is now. */
export function once(emitted: Map<string, Value>, key: string, emit: () => Value): Value {
  const value = emitted.get(key) ?? emit();
  emitted.set(key, value);
  return value;
}
