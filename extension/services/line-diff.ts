import type { ConfigChange } from '../protocol/heatmap';

/** Smallest line-by-line change from one text to another (longest common subsequence). */
export function diffLines(before: string, after: string): readonly ConfigChange[] {
  const old = splitLines(before);
  const now = splitLines(after);
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) {
    start++;
  }
  let end = 0;
  while (
    end < old.length - start &&
    end < now.length - start &&
    old[old.length - 1 - end] === now[now.length - 1 - end]
  ) {
    end++;
  }
  const same = (line: string): ConfigChange => ({ line, change: 'same' });
  return [
    ...old.slice(0, start).map(same),
    ...diffMiddle(old.slice(start, old.length - end), now.slice(start, now.length - end)),
    ...old.slice(old.length - end).map(same),
  ];
}

function diffMiddle(old: readonly string[], now: readonly string[]): ConfigChange[] {
  const width = now.length + 1;
  // common[i · width + j]: length of the longest common subsequence of old[i…] and now[j…].
  const common = new Uint32Array((old.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] =
        old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const changes: ConfigChange[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    const [removed, added] = [old[i], now[j]];
    if (removed !== undefined && removed === added) {
      changes.push({ line: removed, change: 'same' });
      i++;
      j++;
    } else if (removed !== undefined && (added === undefined || at(i + 1, j) >= at(i, j + 1))) {
      changes.push({ line: removed, change: 'removed' });
      i++;
    } else if (added !== undefined) {
      changes.push({ line: added, change: 'added' });
      j++;
    }
  }
  return changes;
}

function splitLines(text: string): readonly string[] {
  const lines = text.split(/\r?\n/);
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}
