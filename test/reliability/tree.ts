import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Files of a folder by their paths in it, each with a hash of its content; folders end in `/`. */
export type Tree = ReadonlyMap<string, string>;

/** Differences between two runs of the same work: dates and durations, including repeated work. */
const volatile = new Set(['created', 'seconds', 'sublayerEvaluations', 'tokensPerSecond']);

/** @param exact whether dates and durations in documents count as well */
export function readTree(folder: string, exact = false): Tree {
  const entries = existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
    : [];
  const hashes = entries.map((entry): [string, string] => {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    return entry.isDirectory() ? [`${name}/`, ''] : [name, hashFile(path, exact)];
  });
  return new Map(hashes.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function hashFile(path: string, exact: boolean): string {
  const bytes = readFileSync(path);
  if (exact) return createHash('sha256').update(bytes).digest('hex');
  const isJournal = path.endsWith('.jsonl');
  const content = path.endsWith('.json')
    ? withoutDates(bytes.toString())
    : isJournal
      ? bytes.toString().replace(/"run":"[^"]*"/, '')
      : bytes;
  return createHash('sha256').update(content).digest('hex');
}

function withoutDates(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), (key, value: unknown) =>
      volatile.has(key) ? undefined : value,
    );
  } catch {
    return text;
  }
}

/** In words what differs between two trees; nothing if they are the same. */
export function differences(actual: Tree, expected: Tree): string[] {
  return [...new Set([...actual.keys(), ...expected.keys()])].flatMap((name) => {
    if (!expected.has(name)) return [`${name} is left`];
    if (!actual.has(name)) return [`${name} is missing`];
    return actual.get(name) === expected.get(name) ? [] : [`${name} has other content`];
  });
}

/** A tree without some files and folders. */
export function without(tree: Tree, paths: readonly string[]): Tree {
  const isIn = (name: string): boolean =>
    paths.some((path) => name === path || name.startsWith(`${path}/`));
  return new Map([...tree].filter(([name]) => !isIn(name)));
}

/**
 * Describes incomplete files in a folder that look finished: not hidden, not saved work, and different from the final
 * result.
 * @param last the file that comes last; without it a folder is there as a whole
 */
export function halfMade(
  actual: Tree,
  expected: Tree,
  { saved, last }: { readonly saved: readonly string[]; readonly last: string | undefined },
): string[] {
  const isHidden = (name: string): boolean => name.split('/').some((part) => part.startsWith('.'));
  const seen = [...without(actual, saved)].filter(([name]) => !isHidden(name));
  const shown = new Set(seen.map(([name]) => name.split('/')[0]));
  const isDue = (name: string): boolean =>
    last === undefined ? shown.has(name.split('/')[0]) : actual.has(last) || actual.has(name);
  return differences(new Map(seen), new Map([...expected].filter(([name]) => isDue(name))));
}
