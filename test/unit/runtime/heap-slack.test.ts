import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { expect, it, vi } from 'vitest';

vi.mock('node:v8', () => ({ getHeapStatistics: vi.fn(), setFlagsFromString: vi.fn() }));

it.each([
  [24, 400],
  [192, 50],
  [257, 0],
])('a heap of %i MiB may grow by %i %%', async (mebibytes, percent) => {
  // The setup of tests has loaded it with the functions of V8.
  vi.resetModules();
  const { raiseHeapLimit } = await import('../../../extension/core/runtime/limits/heap-slack');
  vi.mocked(getHeapStatistics, { partial: true }).mockReturnValue({
    used_heap_size: mebibytes << 20,
  });
  raiseHeapLimit();
  expect(setFlagsFromString).toHaveBeenLastCalledWith(`--heap-growing-percent=${percent}`);
});
