import { afterEach, describe, expect, it, vi } from 'vitest';
import { RemainingParts } from '../../../extension/core/jobs/time-left';

describe('time left by cost', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('follows the time of finished parts, and counts down between them', () => {
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const ahead = new RemainingParts(
      new Map([
        ['a', 1],
        ['b', 2],
        ['c', 1],
      ]),
    );
    now = 10_000;
    expect(ahead.secondsLeft).toBeUndefined();
    ahead.finish('a');
    expect(ahead.secondsLeft).toBeCloseTo(30);
    now = 15_000;
    expect(ahead.secondsLeft).toBeCloseTo(25);
    now = 18_000;
    ahead.finish('b');
    expect(ahead.secondsLeft).toBeCloseTo(6);
    now = 30_000;
    expect(ahead.secondsLeft).toBeUndefined();
  });
});
