import type { ConfigChange } from '../../../extension/protocol/heatmap';

/** A run of lines to show, or a run of unchanged ones to fold. */
export type Hunk =
  | { readonly kind: 'lines'; readonly lines: readonly ConfigChange[] }
  | { readonly kind: 'folded'; readonly lines: readonly ConfigChange[] };

/** Unchanged lines shown around a change. */
const CONTEXT = 3;
/** Folding fewer lines than this saves nothing. */
const LEAST_FOLDED = 4;

/** Folds the unchanged stretches of a preview, as diff views do. */
export function splitHunks(lines: readonly ConfigChange[]): Hunk[] {
  const shown = lines.map(() => false);
  for (const [index, line] of lines.entries()) {
    if (line.change !== 'same') {
      shown.fill(true, Math.max(0, index - CONTEXT), index + CONTEXT + 1);
    }
  }
  const hunks: { kind: Hunk['kind']; lines: ConfigChange[] }[] = [];
  for (const [index, line] of lines.entries()) {
    const kind = shown[index] === true ? 'lines' : 'folded';
    const last = hunks.at(-1);
    if (last?.kind === kind) last.lines.push(line);
    else hunks.push({ kind, lines: [line] });
  }
  return hunks.map(({ kind, lines: run }) => ({
    kind: run.length < LEAST_FOLDED ? 'lines' : kind,
    lines: run,
  }));
}

export function changedLines(lines: readonly ConfigChange[]): { added: number; removed: number } {
  return {
    added: lines.filter((line) => line.change === 'added').length,
    removed: lines.filter((line) => line.change === 'removed').length,
  };
}
