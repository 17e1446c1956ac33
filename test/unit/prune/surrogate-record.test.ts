import * as v from 'valibot';
import { expect, it } from 'vitest';
import { surrogateRecord } from '../../../extension/core/prune/profile-model';
import type { Round } from '../../../extension/core/prune/layer-profile';
import { layerProfileSchema } from '../../../extension/core/prune/layer-profile-schema';

const round = (distance: number, expected: number, place: number): Round => ({
  removed: 'block.0.attention',
  distance,
  decision: { compared: 2, confidence: 1, ties: [], expected: { distance: expected, place } },
});

it.each([
  { rounds: [round(1, Math.E, 1), round(1, Math.exp(-3), 2)], error: 2 },
  { rounds: [round(0, 0, 1), round(1, Math.E, 1)], error: 1 },
  { rounds: [round(0, 0.1, 1), round(0.1, 0, 5), round(0.1, -0.1, 1)], error: undefined },
])('a record of predictions can be read again: a mean error of $error', ({ rounds, error }) => {
  const record = surrogateRecord(rounds);
  expect(record?.rounds).toBe(rounds.length);
  if (error === undefined) {
    expect(record).not.toHaveProperty('meanLogError');
  } else {
    expect(record?.meanLogError).toBeCloseTo(error, 12);
  }
  const written: unknown = JSON.parse(JSON.stringify(record));
  expect(v.parse(layerProfileSchema.entries.surrogate, written)).toEqual(record);
});
