import { expect, it } from 'vitest';
import { distanceLabel, memoryContext, perplexityLabel } from '../../extension/core/quality-labels';

it('a distance has a word if its metric has a scale', () => {
  const words = [0, 0.0029, 0.003, 0.029, 0.03, 0.1].map(
    (value) => distanceLabel('js', value)?.code,
  );
  expect(words).toEqual(['very small', 'very small', 'small', 'small', 'moderate', 'large']);
  expect(distanceLabel('kl', 0.029)?.code).toBe('small');
  expect(distanceLabel('norm', 12)).toBeUndefined();
});

it('a perplexity has a word by its change', () => {
  const words = [28, 29, 29.4, 30.9, 35, 50].map((changed) => perplexityLabel(29, changed).code);
  expect(words).toEqual(['no loss', 'no loss', 'very small', 'small', 'moderate', 'large']);
});

it("memory is reported for the model's context length, at most the default", () => {
  expect(memoryContext({ maxPositions: 512 })).toBe(512);
  expect(memoryContext({ maxPositions: 131_072 })).toBe(4096);
  expect(memoryContext({})).toBe(4096);
});
