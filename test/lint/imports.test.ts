import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { mayImport } from './import-rules';

const root = join(import.meta.dirname, '../..');

const files = ['extension', 'webview'].flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && !name.endsWith('.d.ts'))
    .map((name) => join(top, name)),
);

/** Files that a file imports, types included. */
function findImports(file: string): string[] {
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

const imports = new Map(files.map((file) => [file, findImports(file)]));

describe('imports', () => {
  it('have no cycles, types included', () => {
    expect([...imports.values()].flat().length).toBeGreaterThan(files.length);
    expect(findCircle(imports)).toBeUndefined();
  });

  it('go only to lower layers', () => {
    const refused = [...imports].flatMap(([file, found]) =>
      found.filter((one) => !mayImport(file, one)).map((one) => `${file} imports ${one}`),
    );
    expect(refused).toEqual([]);
  });

  it.each([
    ['extension/core/jobs/journal.ts', 'extension/core/models/open-model.ts'],
    ['extension/core/pipelines/apply-plan.ts', 'extension/core/operations/apply.ts'],
    ['extension/core/user-error.ts', 'extension/protocol/messages.ts'],
    ['extension/protocol/messages.ts', 'extension/worker/main.ts'],
    ['extension/cli/main.ts', 'extension/services/worker-client.ts'],
    ['extension/panels/panel-html.ts', 'extension/worker/main.ts'],
    ['webview/heatmap/main.tsx', 'extension/core/prune/search.ts'],
    ['extension/commands/prune.ts', 'webview/strings.ts'],
  ])('%s may not import %s', (file, imported) => {
    expect(mayImport(file, imported)).toBe(false);
  });

  it('do not hide from the linter', () => {
    const silenced = files.filter((file) =>
      /(?:eslint|oxlint)-disable/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(silenced).toEqual(['extension/core/onnx/proto/onnx_pb.ts']);
  });

  it('finds a cycle', () => {
    const imports = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ]);
    expect(findCircle(imports)).toEqual(['b', 'd', 'b']);
  });
});
