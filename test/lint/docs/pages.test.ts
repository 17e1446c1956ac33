import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { planSchema } from '../../../extension/core/plans/plan-schema';
import { Page, readPages } from '../../unit/docs/markdown';

const root = join(import.meta.dirname, '../../..');
const pages = readPages();
/** Results and lab notes are as wide as they need. */
const prose = pages.filter(({ path }) => !/^(bench|samples|test\/fixtures)\//.test(path));

describe('pages', () => {
  it.each(pages.map((page) => [page.path, page] as const))('%s: links resolve', (_, page) => {
    const broken = page.links.filter((target) => !/^https?:/.test(target)).filter(isBroken(page));
    expect(broken).toEqual([]);
  });

  it.each(prose.map((page) => [page.path, page] as const))('%s: fits a screen', (_, page) => {
    const wide = page.lines.flatMap((line, i) =>
      (line.startsWith('|') ? widthOnScreen(line) > 100 : line.length > 120 && !isUnbreakable(line))
        ? [`${i + 1}: ${line}`]
        : [],
    );
    expect(wide).toEqual([]);
  });

  it('every page of docs is reached from its index', () => {
    const index = new Set(pages.find(({ path }) => path === 'docs/README.md')?.links);
    const missing = pages
      .map(({ path }) => path)
      .filter((path) => path.startsWith('docs/') && path !== 'docs/README.md')
      .filter((path) => !index.has(path.slice('docs/'.length)));
    expect(missing).toEqual([]);
  });

  it('source files that are named exist', () => {
    const roots = ['.', 'extension', 'extension/core'];
    const missing = prose.flatMap(({ path, spans }) =>
      spans
        .filter((span) => /^[\w.-]+(\/[\w.-]+)+\.(tsx?|mjs|py)$/.test(span))
        .filter((file) => !/[A-Z]{3}/.test(file))
        .filter((file) => !roots.some((folder) => existsSync(join(root, folder, file))))
        .map((file) => `${path}: ${file}`),
    );
    expect(missing).toEqual([]);
  });

  it('CONTRIBUTING names every bench command', () => {
    const commands = readdirSync(join(root, 'bench'))
      .flatMap((folder) =>
        readdirSync(join(root, 'bench', folder)).map((file) => `bench/${folder}/${file}`),
      )
      .filter((path) => path.endsWith('.mjs'))
      .filter((path) => readFileSync(join(root, path), 'utf8').includes(`node ${path}`))
      .map((path) => `node ${path}`);
    expect(commands.length).toBeGreaterThan(25);
    const named = pages.find(({ path }) => path === 'CONTRIBUTING.md')?.spans ?? [];
    expect(commands.filter((command) => !named.includes(command))).toEqual([]);
  });

  it('menu paths in the docs exist', () => {
    const paths = prose
      .filter(({ path }) => path.startsWith('docs/'))
      .flatMap(({ path, lines }) =>
        [...lines.join(' ').matchAll(/\*\*(Espalier › [^*]+)\*\*/g)].map(
          ([, menu = '']) => `${path}: ${menu.replace(/ +/g, ' ')}`,
        ),
      );
    expect(paths.length).toBeGreaterThan(5);
    const known = menuPaths();
    expect(paths.filter((path) => !known.has(path.split(': ')[1] ?? ''))).toEqual([]);
  });

  it('plans that are shown can be read', () => {
    const plans = pages.flatMap(({ fences }) =>
      fences.filter(({ info, text }) => info === 'json' && text.includes('"espalier.plan"')),
    );
    expect(plans.length).toBeGreaterThan(2);
    for (const { text } of plans) {
      expect(v.safeParse(planSchema, JSON.parse(text)).issues, text).toBeUndefined();
    }
  });
});

it('anchors are those of GitHub', () => {
  const page = new Page('a.md', '# Files, *.x\n\n```\n# no\n```\n\n## A `b` — c\n\n## A `b` — c\n');
  expect([...page.anchors]).toEqual(['files-x', 'a-b--c', 'a-b--c-1']);
});

/** Paths such as `Espalier › More › Repair Model…` of the context menus of package.json. */
function menuPaths(): ReadonlySet<string> {
  const { contributes } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    contributes: {
      commands: readonly { command: string; title: string }[];
      menus: Readonly<Record<string, readonly { command?: string }[]>>;
    };
  };
  const texts = JSON.parse(readFileSync(join(root, 'package.nls.json'), 'utf8')) as Readonly<
    Record<string, string | { readonly message: string }>
  >;
  const titles = new Map(
    contributes.commands.map(({ command, title }) => {
      const text = texts[title.replaceAll('%', '')] ?? title;
      return [command, typeof text === 'string' ? text : text.message];
    }),
  );
  const prefixes = {
    'espalier.model': 'Espalier',
    'espalier.modelMore': 'Espalier › More',
    'espalier.plan': 'Espalier',
    'espalier.scores': 'Espalier',
  };
  return new Set(
    Object.entries(prefixes).flatMap(([menu, prefix]) =>
      (contributes.menus[menu] ?? []).flatMap(({ command }) =>
        command === undefined ? [] : [`${prefix} › ${titles.get(command) ?? command}`],
      ),
    ),
  );
}

function isBroken(page: Page): (target: string) => boolean {
  return (target) => {
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? page.path : join(dirname(page.path), path);
    if (!existsSync(join(root, file))) return true;
    return (
      anchor !== undefined &&
      !new Page(file, readFileSync(join(root, file), 'utf8')).anchors.has(anchor)
    );
  };
}

/** Columns of a table's row once links and marks are rendered. */
function widthOnScreen(row: string): number {
  return row
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '')
    .replaceAll(/-{2,}/g, '-')
    .replaceAll(/ {2,}/g, ' ').length;
}

/** A link, picture or code span alone, which cannot be broken. */
function isUnbreakable(line: string): boolean {
  return /^\s*([-*] )?(!?\[.*\]\(.*\)|`[^`]*`|<!--.*-->)[.,:]?$/.test(line);
}
