import { expect, it } from 'vitest';
import { epochsToRead } from '../../../extension/core/tensornet/repair/repair-settings';

it.each([
  [512, 512, 1],
  [2048, 512, 1],
  [400, 512, 1],
  [256, 512, 2],
  [10, 512, 2],
])('with %i sequences of %i requested, uses %i passes', (sequences, wanted, passes) => {
  expect(epochsToRead(sequences, wanted)).toBe(passes);
});
