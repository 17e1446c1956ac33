import { expect, it } from 'vitest';
import {
  describeMeasured,
  requirementForm,
  judge,
} from '../../../extension/core/evaluate/requirements';
import type { Interval } from '../../../extension/core/evaluate/paired';

const between = (low: number, high: number): Interval => ({ value: (low + high) / 2, low, high });

it.each([
  [between(1.02, 1.08), 'accept'],
  [between(1.12, 1.2), 'regression'],
  [between(1.05, 1.15), 'not enough evidence'],
])('judges perplexity by its interval: %j', (perplexityRatio, outcome) => {
  expect(judge(['perplexity<+10%'], { perplexityRatio }).outcome).toBe(outcome);
});

it('is the worst of several limits', () => {
  const task = {
    ...{ difference: between(-0.01, 0.03), gained: 3, lost: 1, chance: 0.6 },
  };
  const figures = { perplexityRatio: between(1.01, 1.02), task, size: 0.75, parameters: 0.9 };
  const of = (...requirements: readonly string[]): string => judge(requirements, figures).outcome;
  expect(of('perplexity<+10%', 'task>-2pt', 'size<-20%')).toBe('accept');
  expect(of('perplexity<+10%', 'task>+1pt')).toBe('not enough evidence');
  expect(of('task>+1pt', 'parameters<-20%')).toBe('regression');
  expect(judge(['memory<-20%'], { memory: 0.79 }).outcome).toBe('accept');
  const faster = { speedRatio: between(1.15, 1.3) };
  expect(judge(['speed>+10%'], faster).outcome).toBe('accept');
  expect(judge(['speed>+20%'], faster).outcome).toBe('not enough evidence');
  expect(judge(['speed>+40%'], faster).outcome).toBe('regression');
  expect(of('perplexity<+1.5%', 'agreement>90%')).toBe('not enough evidence');
  const [size] = judge(['size<-20%'], figures).limits;
  expect(size?.measured?.value).toBeCloseTo(-25, 10);
});

it('reports the measured value in the unit of the limit', () => {
  expect(describeMeasured('perplexity<+10%', between(4, 6))).toEqual({
    value: '+5.0 %',
    ends: ['+4.0', '+6.0 %'],
  });
  expect(describeMeasured('task>-2pt', between(-3, 1))).toEqual({
    value: '−1.0 pt',
    ends: ['−3.0', '+1.0 pt'],
  });
  expect(describeMeasured('agreement>90%', between(91, 93))).toEqual({
    value: '92.0 %',
    ends: ['91.0', '93.0 %'],
  });
  expect(describeMeasured('size<-20%', between(-25, -25))).toEqual({ value: '−25.0 %' });
});

it.each(['perplexity<10', 'perplexity>1%', 'task>-2%', 'speed<3%', 'size<', 'agreement>-1%', ''])(
  'has a form that %j is not',
  (text) => {
    expect(requirementForm.pattern.test(text)).toBe(false);
  },
);
