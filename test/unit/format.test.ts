import { expect, it } from 'vitest';
import { formatDistance } from '../../extension/core/format';

it('distances have three digits, small ones an exponent', () => {
  expect([0.029, 1.5, 2.345e-5, -4e-7, 0].map(formatDistance)).toEqual([
    '0.0290',
    '1.50',
    '2.35e-5',
    '-4.00e-7',
    '0.00',
  ]);
  expect([null, undefined].map(formatDistance)).toEqual(['–', '–']);
});
