import { describe, expect, it } from 'vitest';
import { asFlag, asSetting, buildRequest } from '../../../extension/core/operations/build-request';
import { profile } from '../../../extension/core/operations/profile';
import { repair } from '../../../extension/core/operations/repair';
import { sensitivity } from '../../../extension/core/operations/sensitivity';

describe('who shares the work, as the editor sets it', () => {
  const settings = { workers: 3, queue: 'redis://host' };
  const models = { model: 'small', teacher: 'large', out: 'repaired' };

  it('is the queue if one is set, otherwise processes', () => {
    const both = buildRequest(profile, { model: 'm' }, { settings });
    expect(both).toMatchObject({ queue: 'redis://host', workers: 1 });
    const { workers } = buildRequest(profile, { model: 'm' }, { settings: { workers: 3 } });
    expect(workers).toBe(3);
  });

  it('is undecided for a sensitivity profile until a number is given', () => {
    const request = buildRequest(sensitivity, { model: 'm' }, {});
    expect(request.workers).toBeUndefined();
    const set = buildRequest(sensitivity, { model: 'm' }, { settings: { workers: 3 } });
    expect(set.workers).toBe(3);
  });

  it('is nobody for a repair on states that depend on each other', () => {
    const alone = buildRequest(repair, models, { settings });
    expect([alone.workers, alone.queue]).toEqual([1, undefined]);
    const states = { states: 'teacher' } as const;
    expect(buildRequest(repair, { ...models, ...states }, { settings: { workers: 3 } })).toEqual(
      expect.objectContaining({ workers: 3, ...states }),
    );
    const name = asSetting(repair.fields);
    expect(() => buildRequest(repair, { ...models, workers: 3 }, { name })).toThrow(
      'espalier.workers applies only with espalier.repair.states teacher, not student.',
    );
  });

  it('is refused on the command line if sublayers depend on each other', () => {
    const name = asFlag(repair.fields);
    for (const given of [{ workers: 2 }, { queue: 'redis://host' }]) {
      expect(() => buildRequest(repair, { ...models, ...given }, { name })).toThrow(
        /^--(workers|queue) applies only with --states teacher, not student\.$/,
      );
    }
  });
});
