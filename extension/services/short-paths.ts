import { basename, sep } from 'node:path';

/** A folder of the workspace, as far as its paths go. */
interface Root {
  readonly fsPath: string;
}

/**
 * Replaces paths in a text by paths relative to the workspace folders, as the editor does elsewhere. With several
 * folders, the folder name is prepended.
 */
export function withShortPaths(text: string, roots: readonly Root[]): string {
  // Inner folders are matched first.
  const longestFirst = [...roots].sort((a, b) => b.fsPath.length - a.fsPath.length);
  return longestFirst.reduce((short, { fsPath }) => {
    const name = roots.length > 1 ? `${basename(fsPath)}${sep}` : '';
    return short.replaceAll(`${fsPath}${sep}`, name);
  }, text);
}
