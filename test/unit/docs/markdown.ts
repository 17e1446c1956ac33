import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '../../..');

/** A fenced block of code. */
export interface Fence {
  /** Info string after the backticks: `sh run`. */
  readonly info: string;
  readonly line: number;
  readonly text: string;
}

/** A page of Markdown, taken apart as far as its checks need it. */
export class Page {
  public readonly fences: readonly Fence[];
  /** Lines outside of fences, by their number from 1; blank inside. */
  public readonly lines: readonly string[];

  public constructor(
    /** Relative to the repository. */
    public readonly path: string,
    text: string,
  ) {
    const fences: Fence[] = [];
    const lines: string[] = [];
    let open: { info: string; line: number; body: string[] } | undefined;
    for (const [i, line] of text.split('\n').entries()) {
      const [, info] = /^\s*```(.*)$/.exec(line) ?? [];
      if (open === undefined && info !== undefined) {
        open = { info, line: i + 1, body: [] };
      } else if (open !== undefined && info !== undefined) {
        fences.push({ info: open.info, line: open.line, text: open.body.join('\n') });
        open = undefined;
      } else {
        open?.body.push(line);
        lines.push(open === undefined ? line : '');
        continue;
      }
      lines.push('');
    }
    this.fences = fences;
    this.lines = lines;
  }

  /** Text of code spans. */
  public get spans(): string[] {
    // A span may continue in the next line of its paragraph.
    return this.lines
      .join('\n')
      .split(/\n\s*\n/)
      .flatMap((paragraph) => [...paragraph.matchAll(/`([^`]+)`/g)])
      .map(([, code = '']) => code.replaceAll(/\s+/g, ' '));
  }

  /** Targets of links and pictures. */
  public get links(): string[] {
    const text = this.lines.join('\n').replaceAll(/`[^`]*`/g, '');
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  }

  /** The anchors that GitHub gives its headings. */
  public get anchors(): ReadonlySet<string> {
    const seen = new Map<string, number>();
    const anchors = this.lines.flatMap((line) => {
      const [, heading] = /^#{1,6} (.*)$/.exec(line) ?? [];
      if (heading === undefined) return [];
      const slug = heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
        .replaceAll(' ', '-');
      const count = seen.get(slug) ?? 0;
      seen.set(slug, count + 1);
      return [count === 0 ? slug : `${slug}-${count}`];
    });
    return new Set(anchors);
  }
}

/** Pages that users and contributors read. */
export function readPages(): Page[] {
  return ['.', 'docs', 'bench', 'samples', 'test']
    .flatMap((folder) => markdownIn(join(root, folder), folder !== '.'))
    .map((file) => new Page(relative(root, file), readFileSync(file, 'utf8')));
}

function markdownIn(folder: string, deep: boolean): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return deep && entry.name !== 'artifacts' ? markdownIn(path, deep) : [];
    }
    return entry.name.endsWith('.md') ? [path] : [];
  });
}
