import { expect, it } from 'vitest';
import type { JobRecord } from '../../../extension/services/jobs/job-record';
import { reportKey } from '../../../extension/services/reports/report-key';

const keyOf = (operation: string, request: object): string =>
  reportKey({ operation, request } as JobRecord);

it('an evaluation replaces the report of the same models and task, wherever it is saved', () => {
  const request = { model: '/small', against: '/original', task: 'boolq' };
  const key = keyOf('evaluate', request);
  expect(keyOf('evaluate', { ...request, out: '/a.evaluation.json', shots: 5 })).toBe(key);
  expect(keyOf('evaluate', { ...request, against: undefined })).not.toBe(key);
  expect(keyOf('evaluate', { ...request, task: 'piqa' })).not.toBe(key);
});

it('a job that writes a model replaces the report of its output', () => {
  expect(keyOf('prune', { model: '/original', out: '/small' })).toBe('/small');
  expect(keyOf('compress', { model: '/other', out: '/small' })).toBe('/small');
});
