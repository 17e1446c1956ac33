import type { OnnxPort } from '../onnx-summary';

const pastName = /^past(?:_key_values)?(?=[._]|$)/;
/** What carries on where the text in front is forgotten: windows of convolutions, states of recurrences. */
const stateName = /(?:conv|state|ssm)/;

/** An input by which a graph gets back what it gave of earlier positions. */
export interface CachePort {
  readonly name: string;
  /** The output that gives it with the new positions. */
  readonly present: string;
  readonly dtype: 'F32' | 'F16';
  /** `positions` is how many are in it; only states of fixed size have none. */
  readonly sizes: readonly (number | 'batch' | 'positions')[];
}

/** Undefined for an input that is no cache, or whose size or type cannot be told. */
export function cachePortOf({ name, dtype, shape }: OnnxPort): CachePort | undefined {
  if (!isPast(name) || shape === undefined || !(dtype === 'F32' || dtype === 'F16')) {
    return undefined;
  }
  const sizes = shape.map((size, axis) =>
    typeof size === 'number'
      ? size
      : axis === 0 || /batch/i.test(size)
        ? ('batch' as const)
        : ('positions' as const),
  );
  return sizes.includes('positions') || stateName.test(name)
    ? { name, present: presentOf(name), dtype, sizes }
    : undefined;
}

export function isPast(name: string): boolean {
  return pastName.test(name);
}

/** The output whose values are given back as this input, in the naming of Hugging Face optimum. */
export function presentOf(past: string): string {
  return past.replace(pastName, 'present');
}

/** Whether an output is one of those, in the same naming. */
export function isPresent(name: string): boolean {
  return /^present(?=[._]|$)/.test(name);
}
