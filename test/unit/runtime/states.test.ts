import { expect, it } from 'vitest';
import { States } from '../../../extension/core/runtime/states/states';
import { floatsIn, floatTensor } from '../../../extension/core/runtime/tensors';
import type { HiddenState } from '../../../extension/core/runtime/tensors';

const state = (...numbers: number[]): HiddenState => ({
  values: { x: floatTensor(Float32Array.from(numbers), [1, numbers.length]) },
  side: {},
});

it('reuses the buffer of a joined tensor once it is let go', async () => {
  const states = new States(undefined);
  const first = await states.join([state(1, 2), state(3, 4)], 'x');
  const second = await states.join([state(5, 6), state(7, 8)], 'x');
  expect([...floatsIn(first)]).toEqual([1, 2, 3, 4]);
  expect(first.dims).toEqual([2, 2]);
  states.letGo(first);
  const third = await states.join([state(9), state(10), state(11)], 'x');
  expect([...floatsIn(third)]).toEqual([9, 10, 11]);
  expect(floatsIn(third).buffer).toBe(floatsIn(first).buffer);
  expect([...floatsIn(second)]).toEqual([5, 6, 7, 8]);
});

it('does not reuse a single state that is let go', async () => {
  const states = new States(undefined);
  const own = state(1, 2);
  const single = await states.join([own], 'x');
  expect(single).toBe(own.values['x']);
  states.letGo(single);
  const joined = await states.join([state(3), state(4)], 'x');
  expect(floatsIn(joined).buffer).not.toBe(floatsIn(single).buffer);
});

it('copies a state', async () => {
  const states = new States(undefined);
  const own = state(1, 2);
  const copy = await states.copyToHost(own);
  floatsIn(own.values['x'] ?? floatTensor(new Float32Array(), [])).fill(0);
  expect(Object.values(copy.values).map((tensor) => [...floatsIn(tensor)])).toEqual([[1, 2]]);
});
