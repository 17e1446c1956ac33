import type { Value } from '../../onnx/graph-builder';

/** Sparse gradient: zero except for `values` at indices along an axis. */
export interface Scattered {
  readonly places: Value;
  readonly values: Value;
  readonly axis: number;
}

interface Product {
  readonly factors: readonly [Value, Value];
  /** True if the last two axes of a factor are swapped. */
  readonly swaps: readonly [boolean, boolean];
}

/** Values that a backward pass has already emitted, for reuse by other rules. */
export class Emitted {
  /** Vectors of ones, by type and sizes. */
  public readonly ones = new Map<string, Value>();
  /** Shapes, by their sizes; some sizes are names. */
  public readonly sizes = new Map<string, Value>();
  public readonly scattered = new Map<Value, Scattered>();
  public readonly products = new Map<Value, Product>();
  /** Smaller gradients that others repeat by broadcasting, by the repeated one. */
  public readonly repeated = new Map<Value, Value>();
}

/** Returns the value emitted under `key`, and emits it first if necessary. */
export function once(emitted: Map<string, Value>, key: string, emit: () => Value): Value {
  const value = emitted.get(key) ?? emit();
  emitted.set(key, value);
  return value;
}
