import { expect, it } from 'vitest';
import { counted } from '../../../webview/counted';
import { strings } from '../../../webview/compression/strings';

it('a count agrees with its noun, as a number or as it is shown', () => {
  expect([counted(1, 'block'), counted(0, 'block'), counted('1,024', 'tensor')]).toEqual([
    '1 block',
    '0 blocks',
    '1,024 tensors',
  ]);
  expect([strings.pays('1'), strings.pays('2')].map((text) => text.slice(0, 18))).toEqual([
    'The measured layer',
    'All 2 layers measu',
  ]);
});
