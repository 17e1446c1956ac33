import { expect, it } from 'vitest';
import { LearningRate } from '../../../extension/core/training/schedules';

const rates = (rate: LearningRate, steps: readonly number[]): number[] =>
  steps.map((step) => Number(rate.at(step).toFixed(6)));

it('warms up, then falls in steps', () => {
  const rate = new LearningRate({
    rate: 1,
    warmUpSteps: 3,
    schedule: { kind: 'step', at: [2, 4], factor: 0.2 },
  });
  expect(rates(rate, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([0.25, 0.5, 0.75, 1, 1, 0.2, 0.2, 0.04]);
});

it('falls along half a cosine to its minimum', () => {
  const rate = new LearningRate({
    rate: 2,
    schedule: { kind: 'cosine', steps: 4, minimum: 0.1 },
  });
  expect(rates(rate, [0, 2, 4, 9])).toEqual([2, 1.1, 0.2, 0.2]);
});

it('falls when the loss stays, as PyTorch counts it', () => {
  const rate = new LearningRate({
    rate: 1,
    schedule: { kind: 'plateau', factor: 0.5, patience: 1, cooldown: 2 },
  });
  // torch.optim.lr_scheduler.ReduceLROnPlateau(factor=.5, patience=1, cooldown=2, threshold=1e-4)
  const losses = [1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5];
  const seen = losses.map((loss) => {
    rate.observe(loss);
    return rate.at(0);
  });
  expect(seen).toEqual([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]);
});
