import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diffLines } from '../../../extension/services/sessions/line-diff';

const text = fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 12 });
const join = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

describe('diffLines', () => {
  it('shows one changed line among equal ones', () => {
    expect(diffLines('{\n  "n": 12\n}\n', '{\n  "n": 9,\n  "map": 1\n}\n')).toEqual([
      { line: '{', change: 'same' },
      { line: '  "n": 12', change: 'removed' },
      { line: '  "n": 9,', change: 'added' },
      { line: '  "map": 1', change: 'added' },
      { line: '}', change: 'same' },
    ]);
  });

  it('reconstructs both texts, for any texts', () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        const changes = diffLines(join(before), join(after));
        const without = (change: 'added' | 'removed'): string[] =>
          changes.filter((line) => line.change !== change).map((line) => line.line);
        expect(without('added')).toEqual(before);
        expect(without('removed')).toEqual(after);
      }),
    );
  });

  it('keeps the longest common subsequence', () => {
    const changes = diffLines('a\nb\nc\nd\n', 'b\nx\nd\n');
    expect(changes.filter(({ change }) => change === 'same').map(({ line }) => line)).toEqual([
      'b',
      'd',
    ]);
  });
});
