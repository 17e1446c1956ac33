import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
/** More files than this are hard to take in at a glance. */
const mostFiles = 24;
/** Folders with a file for each command or operation. */
const flat: ReadonlySet<string> = new Set([
  'extension/commands',
  'extension/core/operations',
  'extension/cli/present',
]);

const files = ['extension', 'webview'].flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && !name.endsWith('.d.ts'))
    .map((name) => join(top, name)),
);

/** Files that a file imports, types included. */
function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(root, file), 'utf8'), true, true);
  return importedFiles.flatMap(({ fileName }) => {
    const base = join(dirname(file), fileName);
    const found = fileName.startsWith('.')
      ? [`${base}.ts`, `${base}.tsx`].find((path) => existsSync(join(root, path)))
      : undefined;
    return found === undefined ? [] : [found];
  });
}

/** A way from a file back to itself, if there is one. */
function findCircle(
  imports: ReadonlyMap<string, readonly string[]>,
): readonly string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): readonly string[] | undefined => {
    const start = way.indexOf(file);
    if (start >= 0) {
      return [...way.slice(start), file];
    }
    if (done.has(file)) {
      return undefined;
    }
    for (const next of imports.get(file) ?? []) {
      const circle = visit(next, [...way, file]);
      if (circle !== undefined) {
        return circle;
      }
    }
    done.add(file);
    return undefined;
  };
  for (const file of imports.keys()) {
    const circle = visit(file, []);
    if (circle !== undefined) {
      return circle;
    }
  }
  return undefined;
}

describe('rooms', () => {
  it('have no circle of imports, types included', () => {
    const imports = new Map(files.map((file) => [file, importsOf(file)]));
    expect([...imports.values()].flat().length).toBeGreaterThan(files.length);
    expect(findCircle(imports)).toBeUndefined();
  });

  it('finds a circle where there is one', () => {
    const imports = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ]);
    expect(findCircle(imports)).toEqual(['b', 'd', 'b']);
  });

  it('hold a number of files that can be taken in', () => {
    const counts = new Map<string, number>();
    for (const file of files) {
      counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    }
    const crowded = [...counts].filter(([folder, count]) => count > mostFiles && !flat.has(folder));
    expect(crowded).toEqual([]);
  });
});
