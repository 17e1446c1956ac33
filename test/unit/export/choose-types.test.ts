import { expect, it } from 'vitest';
import { chosenTypes } from '../../../extension/core/export/gguf/choose-types';
import type { TypedTensor } from '../../../extension/core/export/gguf/choose-types';

/** Down projections of eight blocks; with an importance matrix, llama.cpp gives the first another type. */
const tensors = Array.from({ length: 8 }, (_, block) => {
  const stored = { dtype: 'F32' } as TypedTensor['stored'];
  const name = `blk.${block}.ffn_down.weight`;
  return { name, sourceName: name, shape: [256, 256], stored };
});
const facts = { blocks: 8, heads: 4, keyValueHeads: 4, experts: 0 };
const firstType = (types: Parameters<typeof chosenTypes>[2]): string | undefined =>
  chosenTypes(tensors, facts, types).get('blk.0.ffn_down.weight');

it.each([
  ['IQ4_XS', 'Q5_K', 'IQ4_XS'],
  ['Q4_0', 'Q4_0', 'Q4_1'],
  ['Q5_K_M', 'Q6_K', 'Q6_K'],
] as const)('%s has types that may depend on an importance matrix', (mix, without, withMatrix) => {
  expect(firstType({ mix })).toBe(without);
  expect(firstType({ mix, importance: new Map() })).toBe(without);
  const importance = new Map([['blk.0.ffn_down.weight', new Float32Array(256)]]);
  expect(firstType({ mix, importance })).toBe(withMatrix);
  // Sizes are known before the matrix is measured.
  expect(firstType({ mix, hasImportance: true })).toBe(withMatrix);
});
