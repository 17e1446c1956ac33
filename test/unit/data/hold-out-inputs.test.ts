import { expect, it } from 'vitest';
import { holdOutInputs } from '../../../extension/core/data/hold-out-inputs';
import { say } from '../../../extension/core/message';

const numbers = (count: number): number[] => [...Array(count).keys()];

it.each([
  [2, 1, { train: [0], heldOut: [[1]] }],
  [3, 2, { train: [0], heldOut: [[1], [2]] }],
  [
    10,
    2,
    {
      train: [0, 1, 2, 3, 4, 5],
      heldOut: [
        [6, 7],
        [8, 9],
      ],
    },
  ],
])('of %i inputs the last are held out, in %i parts', (count, parts, expected) => {
  expect(holdOutInputs(numbers(count), parts, 'sequences-too-few', say`More.`)).toEqual(expected);
});

it('refuses too few, and leaves some to train on of any number that will do', () => {
  expect(() => holdOutInputs(numbers(2), 2, 'sequences-too-few', say`Three are needed.`)).toThrow(
    /Three are needed/,
  );
  for (const parts of [1, 2]) {
    for (let count = parts + 1; count < 30; count++) {
      const { train, heldOut } = holdOutInputs(numbers(count), parts, 'sequences-too-few', say``);
      expect([...train, ...heldOut.flat()]).toEqual(numbers(count));
      expect(train.length).toBeGreaterThan(0);
    }
  }
});
