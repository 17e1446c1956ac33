import type { OnnxPort } from '../onnx-summary';

const pastName = /^past(?:_key_values)?(?=[._]|$)/;
/** Names of convolution and recurrent states, which can't be truncated. */
const stateName = /(?:conv|state|ssm)/;

/** Input that receives a cache output of earlier positions. */
export interface CachePort {
  readonly name: string;
  /** Output with the updated cache. */
  readonly present: string;
  readonly dtype: 'F32' | 'F16';
  /** `positions` is how many are in it; only states of fixed size have none. */
  readonly sizes: readonly (number | 'batch' | 'positions')[];
}

/** Returns the cache port of an input; undefined if it isn't a cache, or has an unknown size or type. */
export function parseCachePort({ name, dtype, shape }: OnnxPort): CachePort | undefined {
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
    ? { name, present: presentName(name), dtype, sizes }
    : undefined;
}

export function isPast(name: string): boolean {
  return pastName.test(name);
}

/** Name of the cache output that is fed back to this input, as Hugging Face optimum names it. */
export function presentName(past: string): string {
  return past.replace(pastName, 'present');
}

/** True for names of cache outputs. */
export function isPresent(name: string): boolean {
  return /^present(?=[._]|$)/.test(name);
}
