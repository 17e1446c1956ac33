import { expect, it } from 'vitest';
import { buildRequest, validateRequest } from '../../../extension/core/operations/build-request';
import { evolutionSettings, synthesize } from '../../../extension/core/operations/synthesize';

it('reads a request as the settings of an evolution', () => {
  const given = {
    out: '/o',
    population: 5,
    programs: 99,
    module: 'compat',
    data: 'balanced',
  } as const;
  const request = buildRequest(synthesize, { ...given, dataSeed: 7, test: 8 });
  expect(evolutionSettings(request)).toEqual({
    ...{ iterations: 3, population: 5, keep: 3, seed: 0, programLimit: 99 },
    ...{ size: 'small', mode: 'compat', epochs: 16, legacyWeights: false },
    data: { mode: 'balanced', seed: 7, train: 128, validation: 600, test: 8 },
  });
  expect(evolutionSettings({ ...request, keep: 1, baselines: 2 })).toMatchObject({
    keep: 1,
    baselines: 2,
  });
});

it('keeps and writes no more than there is', () => {
  const complete = buildRequest(synthesize, { out: '/o' });
  expect(() => buildRequest(synthesize, { out: '/o', keep: 13 })).toThrow(
    'keep accepts at most population, which is 12.',
  );
  expect(() => validateRequest(synthesize, { ...complete, pictures: 129 })).toThrow(
    'pictures accepts at most train, which is 128.',
  );
  expect(buildRequest(synthesize, { out: '/o', keep: 12, pictures: 128 })).toMatchObject({
    keep: 12,
  });
});
