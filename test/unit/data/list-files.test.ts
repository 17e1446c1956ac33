import { expect, it } from 'vitest';
import { byPath } from '../../../extension/core/data/list-files';

it('files of a folder have one order on all systems', () => {
  const paths = ['a/b.png', 'aB/c.png', 'a-b/d.png', 'a.png', 'a/Z/e.png'];
  const onWindows = paths.map((path) => path.replaceAll('/', '\\'));
  const sorted = [...paths].sort(byPath('/'));
  const sortedOnWindows = onWindows.sort(byPath('\\'));
  expect(sortedOnWindows.map((path) => path.replaceAll('\\', '/'))).toEqual(sorted);
});
