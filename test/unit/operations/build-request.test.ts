import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asFlag,
  asSetting,
  buildRequest,
  RequestError,
  validateRequest,
} from '../../../extension/core/operations/build-request';
import {
  choice,
  describeDefault,
  flag,
  formed,
  integer,
  leftOpen,
  list,
  number,
  numbers,
  path,
  size,
  text,
} from '../../../extension/core/operations/fields';
import type { AnyOperation } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import {
  actsOnlyWith,
  allNeed,
  anyOf,
  excludes,
  needs,
  oneOf,
  replaces,
  switchedOff,
} from '../../../extension/core/operations/rules';
import { inEnglish, say } from '../../../extension/core/message';

const fields = {
  model: path({ description: 'A model', positional: true, placeholder: 'MODEL', required: true }),
  count: integer({ description: 'How many', default: 3, min: 1, max: 9, setting: 'many.count' }),
  share: number({ description: 'A share', min: 0, max: 1 }),
  rate: number({ description: 'A rate', above: 0 }),
  ratio: number({ description: 'A ratio', above: 0, max: 1 }),
  mode: choice(['fast', 'slow'], { description: 'A mode', default: 'fast', setting: 'mode' }),
  keep: list({ description: 'What stays' }),
  memory: size({ description: 'Memory', default: '4GiB' }),
  noteText: text({ description: 'A note' }),
  extra: flag({ description: 'More', default: false }),
  area: formed({ pattern: /^\d+x\d+$/, takes: say`a size such as 3x4` }, { description: 'A size' }),
  marks: list({
    description: 'Marks',
    form: { pattern: /^\w+@\d+$/, takes: say`marks such as a@1` },
  }),
  shares: numbers({ description: 'Shares', min: 0, max: 1 }),
  check: flag({ description: 'Check', default: true, off: 'Skip the check' }),
};
const shape = { fields, rules: [] };
const name = asFlag(fields);

describe('buildRequest', () => {
  it('prefers given values over settings over defaults', () => {
    const request = buildRequest(shape, { model: 'm', mode: 'slow' }, { settings: { count: 5 } });
    expect(request).toEqual({
      model: 'm',
      count: 5,
      mode: 'slow',
      memory: '4GiB',
      extra: false,
      check: true,
    });
  });

  it('returns a request that it accepts again, for any input', () => {
    const given = fc.record(
      {
        count: fc.integer({ min: 1, max: 9 }),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        mode: fc.constantFrom('fast' as const, 'slow' as const),
        keep: fc.array(fc.string({ minLength: 1 })),
        extra: fc.boolean(),
        check: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(given, (some) => {
        const request = buildRequest(shape, { model: 'm', ...some });
        expect(request).toMatchObject(some);
        expect(validateRequest(shape, JSON.parse(JSON.stringify(request)))).toEqual(request);
        expect(buildRequest(shape, request)).toEqual(request);
      }),
    );
  });

  it.each([
    [{}, 'MODEL is required.'],
    [{ model: 'm', count: 0 }, '--count accepts an integer from 1 to 9, not 0.'],
    [{ model: 'm', count: 1.5 }, '--count accepts an integer from 1 to 9, not 1.5.'],
    [{ model: 'm', count: 'many' }, '--count accepts an integer from 1 to 9, not "many".'],
    [{ model: 'm', share: 1.5 }, '--share accepts a number from 0 to 1, not 1.5.'],
    [{ model: 'm', rate: 0 }, '--rate accepts a number above 0, not 0.'],
    [{ model: 'm', ratio: 2 }, '--ratio accepts a number above 0 and at most 1, not 2.'],
    [{ model: 'm', mode: 'swift' }, '--mode accepts one of fast, slow, not "swift".'],
    [
      { model: 'm', memory: '10' },
      '--memory accepts a size with its unit, such as 4GiB, at least 64MiB, or auto',
    ],
    [{ model: 'm', memory: '10MiB' }, 'at least 64MiB, or auto, not "10MiB".'],
    [{ model: 'm', area: '3' }, '--area accepts a size such as 3x4, not "3".'],
    [
      { model: 'm', marks: ['a@1', 'a'] },
      '--marks accepts marks such as a@1, separated by commas, not ["a@1","a"].',
    ],
    [
      { model: 'm', shares: [0.5, 2] },
      '--shares accepts numbers from 0 to 1, separated by commas, not [0.5,2].',
    ],
    [{ model: 'm', noteText: 3 }, '--note-text accepts a text, not 3.'],
    [{ model: 'm', check: 'yes' }, '--no-check accepts true or false, not "yes".'],
    [{ model: 'm', coumt: 3 }, 'There is no field "coumt".'],
  ])('refuses %j by the flag', (given, message) => {
    expect(() => buildRequest(shape, given as never, { name })).toThrow(RequestError);
    expect(() => buildRequest(shape, given as never, { name })).toThrow(message);
  });

  it('names settings to the editor', () => {
    expect(() =>
      buildRequest(shape, { model: 'm' }, { settings: { count: 0 }, name: asSetting(fields) }),
    ).toThrow('espalier.many.count accepts an integer');
  });

  it.each([undefined, null, 'text', []])('validates that %j is no request', (request) => {
    expect(() => validateRequest(shape, request)).toThrow('A request is a JSON object.');
  });
});

describe('rules', () => {
  const check = (rule: ReturnType<typeof excludes>, given: object): string | undefined => {
    try {
      buildRequest({ fields, rules: [rule] }, { model: 'm', ...given }, { name });
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };

  it.each([
    [excludes('count', 'share'), { count: 1, share: 0 }, 'Use only one of --count and --share.'],
    [
      excludes('count', 'share', 'extra'),
      { share: 0, extra: true },
      'Use only one of --count, --share and --extra, not both --share and --extra.',
    ],
    [excludes('count', 'extra'), { count: 1, extra: false }, undefined],
    [needs('share', 'keep'), { share: 1 }, '--share needs --keep.'],
    [needs('share', 'keep'), { share: 1, keep: ['a'] }, undefined],
    [allNeed(['share', 'count'], 'keep'), { count: 1 }, '--count needs --keep.'],
    [
      allNeed(['share', 'count'], 'keep'),
      { share: 0, count: 1 },
      '--share and --count need --keep.',
    ],
    [allNeed(['share', 'count'], 'keep'), { count: 1, keep: ['a'] }, undefined],
    [anyOf('share', 'keep'), {}, '--share or --keep is required.'],
    [
      actsOnlyWith('extra', 'mode', ['slow']),
      { extra: true },
      '--extra applies only with --mode slow, not fast.',
    ],
    [actsOnlyWith('extra', 'mode', ['slow']), { extra: true, mode: 'slow' }, undefined],
    [actsOnlyWith('extra', 'keep', ['a']), { extra: true, keep: ['b', 'a'] }, undefined],
    [
      actsOnlyWith('extra', 'keep', ['a']),
      { extra: true, keep: ['b', 'c'] },
      '--extra applies only with --keep a, not b,c.',
    ],
    [
      replaces('keep', ['share', 'check'], say`it says all`),
      { keep: ['a'], check: false },
      '--no-check has no effect with --keep: it says all.',
    ],
    [
      switchedOff('check', ['share']),
      { check: false, share: 1 },
      '--share has no effect with --no-check.',
    ],
    [switchedOff('check', ['share']), { share: 1 }, undefined],
  ])('%o and %j: %s', (rule, given, message) => {
    expect(check(rule, given)).toBe(message);
  });

  it('leaves out settings that have no effect with the given fields', () => {
    const rules = [...oneOf('share', 'keep'), needs('extra', 'keep')];
    const settings = { keep: ['a'], extra: true };
    const request = buildRequest({ fields, rules }, { model: 'm', share: 1 }, { settings });
    expect(request).toMatchObject({ share: 1, extra: false });
    expect(request).not.toHaveProperty('keep');
    expect(() => buildRequest({ fields, rules }, { model: 'm', share: 1, keep: ['a'] })).toThrow(
      RequestError,
    );
  });

  it('are checked at every boundary, of values that are not the defaults', () => {
    const rules = [excludes('count', 'mode')];
    const request = buildRequest({ fields, rules }, { model: 'm', count: 4 });
    expect(validateRequest({ fields, rules }, request)).toEqual(request);
    expect(() => validateRequest({ fields, rules }, { ...request, mode: 'slow' })).toThrow(
      'Use only one of count and mode.',
    );
  });
});

describe('operations', () => {
  it.each(operations.map((operation) => [operation.id, operation as unknown as AnyOperation]))(
    '%s describes all of its fields',
    (id, { fields: own, rules, title, summary }) => {
      expect(id).toMatch(/^[a-z]+([- ][a-z]+)*$/);
      expect(title).toMatch(/^[A-Z]/);
      expect(summary).toMatch(/^[A-Z].*\.$/);
      for (const [key, field] of Object.entries(own)) {
        expect(field.description, key).toMatch(/^[A-Z].*[^.]$/);
        expect(field.missing === undefined || field.present, key).toBe(true);
      }
      const flags = Object.keys(own).map(asFlag(own));
      expect(new Set(flags).size).toBe(flags.length);
      for (const rule of rules) {
        expect(inEnglish(rule.describe(asFlag(own)))).toMatch(/(--|[A-Z]{2,}).*\.$/);
      }
    },
  );

  it('have ids of their own', () => {
    expect(new Set(operations.map(({ id }) => id)).size).toBe(operations.length);
  });

  it('may leave fields open that others have defaults for', () => {
    const open = { fields: { model: fields.model, ...leftOpen({ mode: fields.mode }) }, rules: [] };
    expect(buildRequest(open, { model: 'm' })).toEqual({ model: 'm' });
    expect(describeDefault(open.fields.mode)).toBe('fast');
  });
});
