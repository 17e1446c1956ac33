import { basename, sep } from 'node:path';

/** A folder of the workspace, as far as its paths go. */
interface Root {
  readonly fsPath: string;
}

/**
 * Text whose paths are relative to the workspace's folders, as the editor shows them elsewhere; with the folder's
 * name in front where there are several.
 */
export function withShortPaths(text: string, roots: readonly Root[]): string {
  // A folder inside of another is matched first.
  const longestFirst = [...roots].sort((a, b) => b.fsPath.length - a.fsPath.length);
  return longestFirst.reduce((short, { fsPath }) => {
    const name = roots.length > 1 ? `${basename(fsPath)}${sep}` : '';
    return short.replaceAll(`${fsPath}${sep}`, name);
  }, text);
}
