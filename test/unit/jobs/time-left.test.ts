import { describe, expect, it } from 'vitest';
import { formatDuration, formatEstimate } from '../../../extension/core/format';
import { Estimate, TimeLeft } from '../../../extension/core/jobs/time-left';
import { say, verbatim } from '../../../extension/core/message';

describe('time left', () => {
  const at = (done: number, stage = 'search') =>
    ({ stage: verbatim(stage), done, total: 100, unit: 'sequences' }) as const;

  it('follows the recent speed once there is enough of it', () => {
    const timeLeft = new TimeLeft();
    expect(timeLeft.update(at(0), 0)).toBeUndefined();
    expect(timeLeft.update(at(10), 1000)).toBeUndefined();
    expect(timeLeft.update(at(40), 4000)).toBeCloseTo(6);
    expect(timeLeft.update(at(50), 30_000)).toBeCloseTo(50 / (10 / 26));
  });

  it('starts afresh with a stage or a step back', () => {
    const timeLeft = new TimeLeft();
    timeLeft.update(at(0), 0);
    expect(timeLeft.update(at(50), 5000)).toBeCloseTo(5);
    expect(timeLeft.update(at(51, 'write'), 6000)).toBeUndefined();
    expect(timeLeft.update(at(0, 'write'), 9000)).toBeUndefined();
  });

  it('keeps its rate through the rounds of one stage', () => {
    const timeLeft = new TimeLeft();
    const round = (number: number, done: number) =>
      ({ stage: say`Round ${number} of 9`, done, total: 100, unit: 'steps' }) as const;
    timeLeft.update(round(1, 0), 0);
    expect(timeLeft.update(round(1, 10), 5000)).toBeCloseTo(45);
    expect(timeLeft.update(round(2, 12), 6000)).toBeCloseTo(44);
  });

  it('counts down from the estimate before the start while sessions are opened', () => {
    const timeLeft = new TimeLeft();
    timeLeft.update({ ...at(0, 'start'), secondsLeft: 60 }, 0);
    const opening = (done: number) => ({ ...at(done, 'original'), isWarmingUp: true });
    timeLeft.update(opening(1), 1000);
    // At this rate it would take 12 minutes.
    expect(timeLeft.update(opening(2), 15_000)).toBeCloseTo(45);
    timeLeft.update(at(2), 16_000);
    expect(timeLeft.update(at(12), 21_000)).toBeCloseTo(88 / (10 / 5));
  });

  it('does not count replayed journal entries as work', () => {
    const timeLeft = new TimeLeft();
    timeLeft.update(at(0), 0);
    timeLeft.update(at(60), 500);
    timeLeft.update(at(62), 1500);
    // 10 in 4 s, not 70 in 4.5 s.
    expect(timeLeft.update(at(70), 4500)).toBeCloseTo(30 / (10 / 4));
  });

  it('returns nothing if the count exceeds the expected total', () => {
    const timeLeft = new TimeLeft();
    timeLeft.update(at(50), 0);
    expect(timeLeft.update(at(100), 8000)).toBeUndefined();
  });

  it('counts down from the expected time until progress gives a better estimate', () => {
    const timeLeft = new TimeLeft();
    const reported = {
      stage: say`Starting`,
      done: 0,
      total: 1,
      unit: 'steps',
      secondsLeft: 60,
    } as const;
    expect(timeLeft.update(reported, 0)).toBe(60);
    expect(timeLeft.update(at(0), 1000)).toBeCloseTo(59);
    expect(timeLeft.update(at(0), 2000)).toBeCloseTo(58);
    expect(timeLeft.update(at(20), 6000)).toBeCloseTo(80 / (20 / 5));
    expect(timeLeft.update(at(0, 'write'), 7000)).toBeUndefined();
  });

  it("reports no time for a first stage that doesn't announce the following ones", () => {
    const timeLeft = new TimeLeft();
    const first = (done: number) => ({ ...at(done, 'before'), moreFollows: true });
    timeLeft.update(first(0), 0);
    expect(timeLeft.update(first(50), 5000)).toBeUndefined();
    timeLeft.update(at(0), 6000);
    expect(timeLeft.update(at(50), 11_000)).toBeCloseTo(5);
  });

  it('returns nothing without progress', () => {
    const timeLeft = new TimeLeft();
    timeLeft.update(at(5), 0);
    expect(timeLeft.update(at(5), 8000)).toBeUndefined();
  });
});

describe('an estimate', () => {
  /** Time left of a job that does one of many steps per second. */
  const said = (steps: number): string[] => {
    const texts: string[] = [];
    const timeLeft = new TimeLeft();
    const estimate = new Estimate((seconds) => texts.push(formatDuration(seconds)));
    for (let second = 0; second <= 10; second++) {
      const progress = { stage: say`search`, done: second, total: steps, unit: 'steps' } as const;
      estimate.update(timeLeft.update(progress, second * 1000));
    }
    return texts;
  };

  it('is shown immediately if it is known in advance', () => {
    const texts: string[] = [];
    const estimate = new Estimate((seconds) => texts.push(formatDuration(seconds)));
    const reported = {
      stage: say`Starting`,
      done: 0,
      total: 1,
      unit: 'steps',
      secondsLeft: 240,
    } as const;
    estimate.update(new TimeLeft().update(reported, 0));
    expect(texts).toEqual(['4 min']);
  });

  it('is said once, after the first seconds of work', () => {
    expect(said(243)).toEqual(['4 min']);
    expect(said(7503)).toEqual(['2 h 5 min']);
    expect(said(60)).toEqual(['57 s']);
  });

  it('is reported for a long stage after a short one', () => {
    const texts: string[] = [];
    const estimate = new Estimate((seconds) => texts.push(formatDuration(seconds)));
    [undefined, 6, 4, undefined, 120, 110].forEach((seconds) => {
      estimate.update(seconds);
    });
    expect(texts).toEqual(['2 min']);
  });

  it('is not taken from the slow start of long work', () => {
    const texts: string[] = [];
    const timeLeft = new TimeLeft();
    const estimate = new Estimate((seconds) => texts.push(formatDuration(seconds)));
    for (let second = 0; second <= 20; second++) {
      const isStart = second <= 4;
      const done = isStart ? second : 5 + 50 * (second - 4);
      const stage = isStart ? say`Original` : say`search`;
      const progress = { stage, done, total: 15_000, unit: 'steps' } as const;
      estimate.update(timeLeft.update(progress, second * 1000));
    }
    expect(texts).toEqual(['5 min']);
  });

  it('is not shown for short work', () => {
    expect(said(12)).toEqual([]);
  });
});

describe('an estimate as a range', () => {
  it.each([
    [30, '20–45 s'],
    [1, '1–2 s'],
    [100, '67 s – 3 min'],
    [300, '3–8 min'],
    [4800, '53 min – 2 h 0 min'],
    [9000, '1 h 40 min – 3 h 45 min'],
  ])('of %d s is %s', (seconds, text) => {
    expect(formatEstimate(seconds)).toBe(text);
  });
});
