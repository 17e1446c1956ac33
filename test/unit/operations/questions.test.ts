import { expect, it } from 'vitest';
import { operations } from '../../../extension/core/operations/operations';
import { questions } from '../../../extension/core/operations/questions/questions';
import { isJob, runsOrWrites } from '../../../extension/services/jobs/operations';

const declared: readonly { readonly id: string; readonly trust: string }[] = questions;

it('questions need no workspace trust unless declared, and are no jobs', () => {
  expect(declared.map(({ id }) => id)).toEqual([...new Set(declared.map(({ id }) => id))]);
  for (const { id, trust } of declared) {
    expect(isJob(id), id).toBe(false);
    expect(runsOrWrites(id), id).toBe(trust !== 'inspect');
  }
  expect(runsOrWrites('keepEvaluations')).toBe(true);
  expect(runsOrWrites('exportStructure')).toBe(false);
});

it('operations that only inspect need no workspace trust either', () => {
  const reading = operations.filter(({ trust }) => trust === 'inspect').map(({ id }) => id);
  expect(reading).toContain('compare');
  expect(reading.filter((id) => runsOrWrites(id))).toEqual([]);
});
