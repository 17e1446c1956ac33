import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import type { ComputedTensor } from '../encodings/store-encodings';

/** Tensor with only some indices along one axis. */
interface Cut {
  readonly tensor: LazyTensor;
  readonly axis: number;
  /** Number of equally sized runs along the axis. */
  readonly runs: number;
  /** Indices of the remaining runs, ascending. */
  readonly kept: readonly number[];
}

/** Remaining part of a tensor in its stored data type, read when it is written. */
export function cutTensor({ tensor, axis, runs, kept }: Cut): ComputedTensor {
  const { name, dtype, shape } = tensor;
  const size = ((shape[axis] ?? 0) / runs) * kept.length;
  const outer = elementCount(shape.slice(0, axis));
  const each = tensor.length / (outer * runs);
  const length = outer * kept.length * each;
  return {
    ...{ name, dtype, shape: shape.with(axis, size), length },
    bytes: async () => {
      const all = await readBytes(tensor, tensor.length);
      const result = Buffer.alloc(length);
      let at = 0;
      for (let first = 0; first < outer * runs; first += runs) {
        for (const run of kept) {
          all.copy(result, at, (first + run) * each, (first + run + 1) * each);
          at += each;
        }
      }
      return result;
    },
  };
}

/** Run numbers, if the indices consist of whole runs of `unit` neighbors. */
export function consecutiveRuns(places: readonly number[], unit: number): number[] {
  return places.filter((place) => place % unit === 0).map((place) => place / unit);
}
