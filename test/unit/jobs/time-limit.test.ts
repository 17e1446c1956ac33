import process from 'node:process';
import { afterEach, expect, it, vi } from 'vitest';
import { TimeLimitError, withTimeLimit } from '../../../extension/core/jobs/time-limit';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Fakes the processor time of this process: each look at it is later by as many milliseconds. */
function advanceProcessorTime(milliseconds: number): void {
  let looks = 0;
  vi.spyOn(process, 'cpuUsage').mockImplementation(() => ({
    user: 1000 * milliseconds * looks++,
    system: 0,
  }));
}

const endless = (): never => {
  for (;;);
};

it('a function that uses the time is interrupted', () => {
  advanceProcessorTime(10);
  expect(() => withTimeLimit(20, endless)).toThrow(new TimeLimitError(20));
});

it('a function that did not run on a busy machine starts again', () => {
  advanceProcessorTime(9);
  let attempts = 0;
  expect(withTimeLimit(20, () => (attempts++ === 0 ? endless() : attempts))).toBeGreaterThan(1);
});

it('an error of the function is passed on', () => {
  const error = new Error('no such token');
  const fail = (): never => {
    throw error;
  };
  expect(() => withTimeLimit(60_000, fail)).toThrow(error);
});
