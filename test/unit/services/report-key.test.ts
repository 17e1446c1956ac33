import { expect, it } from 'vitest';
import type { JobRecord } from '../../../extension/services/jobs/job-record';
import { reportKey } from '../../../extension/services/reports/report-key';

const jobKey = (operation: string, request: object): string =>
  reportKey({ operation, request } as JobRecord);

it('an evaluation replaces the report of the same models and task', () => {
  const request = { model: '/small', against: '/original', task: 'boolq' };
  const key = jobKey('evaluate', request);
  expect(jobKey('evaluate', { ...request, out: '/a.evaluation.json', shots: 5 })).toBe(key);
  expect(jobKey('evaluate', { ...request, against: undefined })).not.toBe(key);
  expect(jobKey('evaluate', { ...request, task: 'piqa' })).not.toBe(key);
});

it('a job that writes a model replaces the report of its output', () => {
  expect(jobKey('prune', { model: '/original', out: '/small' })).toBe('/small');
  expect(jobKey('compress', { model: '/other', out: '/small' })).toBe('/small');
});
