import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, it } from 'vitest';
import { linesOf, readSmallText } from '../../extension/core/regular-file';
import { documentIds, documentNames } from '../../extension/core/document-names';
import { readDocument } from '../../extension/core/documents/document-types';
import { runCli } from './cli/run-cli';
import { fixture } from './fixtures';
import { temporaryFolder } from './temporary-folder';

const folder = temporaryFolder();

describe.skipIf(process.platform === 'win32')('pipes and devices', () => {
  const pipe = (name: string): string => {
    const path = join(folder, name);
    execFileSync('mkfifo', [path]);
    return path;
  };
  const device = (name: string): string => {
    const path = join(folder, name);
    symlinkSync('/dev/zero', path);
    return path;
  };

  it.each(documentIds)('are refused as a document (%s)', async (id) => {
    for (const [i, make] of [pipe, device].entries()) {
      const path = make(`${i}${documentNames[id].suffix}`);
      await expect(readDocument(id, path)).rejects.toThrow(
        `${path}: This is not a regular file. Choose a file, not a folder, pipe or device.`,
      );
    }
  });

  it.each([
    ['apply', (path: string) => ['apply', path, '--out', join(folder, 'applied')]],
    ['report', (path: string) => ['report', path, '--out', join(folder, 'report.md')]],
    ['--config', (path: string) => ['inspect', fixture('llama-gqa-untied'), '--config', path]],
  ])('are refused on the command line (%s)', async (name, argsOf) => {
    for (const path of [pipe(`${name}-pipe.plan.json`), device(`${name}-device.plan.json`)]) {
      const { code, stderr } = await runCli(argsOf(path));
      expect(stderr).toContain(`${path}: This is not a regular file.`);
      expect(code).not.toBe(0);
    }
  });

  it('are refused line by line', async () => {
    const path = pipe('lines.jsonl');
    await expect(linesOf(path).next()).rejects.toFailWith({
      code: 'file-not-regular',
      file: 'lines.jsonl',
    });
  });
});

it('lines of a file have no line ends', async () => {
  const path = join(folder, 'text');
  writeFileSync(path, 'a\r\nb\n\nc');
  const lines: string[] = [];
  for await (const line of linesOf(path)) lines.push(line);
  expect(lines).toEqual(['a', 'b', '', 'c']);
  await expect(readSmallText(join(folder, 'missing'))).rejects.toFailWith({
    code: 'file-missing',
    file: 'missing',
  });
});

/** Files that read with Node's functions, and why that is safe. Others use core/regular-file.ts. */
const others: Readonly<Record<string, string>> = {
  'extension/core/regular-file.ts': 'the reader itself, and /proc',
  'extension/services/jobs/job-store.ts': "the extension's storage, before anything is waited for",
  'extension/services/jobs/saved-work.ts': 'a few bytes, opened without waiting, looked at first',
};

it('documents are read by one reader', () => {
  const root = join(import.meta.dirname, '../..');
  const reads =
    /import \{[^}]*\b(?:readFile|readFileSync|createReadStream|openSync)\b[^}]*\} from 'node:fs/;
  const found = readdirSync(join(root, 'extension'), { recursive: true, encoding: 'utf8' })
    .map((file) => `extension/${file.replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith('.ts') && reads.test(readFileSync(join(root, file), 'utf8')));
  expect(found.sort()).toEqual(Object.keys(others).sort());
});
