import { expect, it } from 'vitest';
import { weightArenas } from '../../../extension/core/runtime/session';

it('two alternating sizes are allocated once; the size of another model replaces the oldest', () => {
  weightArenas.clear();
  const buffers = (sizes: readonly number[]): ArrayBuffer[] =>
    sizes.map((bytes) => {
      const arena = weightArenas.take(bytes);
      arena.release();
      return arena.buffer;
    });
  const [small, large, ...others] = buffers([100, 1000, 100, 1000]);
  expect(others).toEqual([small, large]);
  expect(others[0]).toBe(small);
  expect(others[1]).toBe(large);
  // 300 fits neither: only the one that was released last stays for later.
  const [middle] = buffers([300]);
  expect(buffers([1000])[0]).toBe(large);
  expect(buffers([300])[0]).toBe(middle);
  expect(buffers([100])[0]).not.toBe(small);
  weightArenas.clear();
});
