import { diffArrays } from 'diff';
import type { ConfigChange } from '../../protocol/heatmap';

/** Smallest line-by-line change from one text to another; how lines end is no change. */
export function diffLines(before: string, after: string): readonly ConfigChange[] {
  return diffArrays(splitLines(before), splitLines(after)).flatMap(({ value, added, removed }) => {
    const change = added ? 'added' : removed ? 'removed' : 'same';
    return value.map((line) => ({ line, change }) as const);
  });
}

function splitLines(text: string): string[] {
  const lines = text.split(/\r?\n/);
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}
