import { expect, it } from 'vitest';
import { tokenExample } from '../../../extension/core/models/example';

it('a text fills the switches of a graph as examples do, and nothing else by guessing', () => {
  const ids = { name: 'input_ids', dtype: 'I64', shape: ['batch', 'sequence'] };
  const branch = { name: 'use_cache_branch', dtype: 'BOOL', shape: [1] };
  const example = tokenExample([ids, branch], Int32Array.of(3, 5), 'model.onnx');
  expect(example['input_ids']).toEqual({
    dtype: 'I64',
    dims: [1, 2],
    data: BigInt64Array.of(3n, 5n),
  });
  expect(example['use_cache_branch']).toEqual({ dtype: 'BOOL', dims: [1], data: Uint8Array.of(0) });
  const pixels = { name: 'pixel_values', dtype: 'F32', shape: [1, 3, 8, 8] };
  expect(() => tokenExample([ids, pixels], Int32Array.of(3), 'model.onnx')).toThrow(
    /model\.onnx: pixel_values: .*can't be created from text/,
  );
});
