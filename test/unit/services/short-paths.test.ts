import { join, sep } from 'node:path';
import { expect, it } from 'vitest';
import { UserError } from '../../../extension/core/user-error';
import { withShortPaths } from '../../../extension/services/short-paths';
import { say } from '../../../extension/core/message';

const root = (...path: string[]) => ({ fsPath: `${sep}${join('home', 'me', ...path)}` });
const problem = (...path: string[]): string =>
  new UserError('archive-undecodable', say`The file is damaged.`, {
    file: join(root(...path).fsPath),
    remedy: undefined,
  }).message;

it('names files as the editor does', () => {
  const roots = [root('work')];
  expect(withShortPaths(problem('work', 'm', 'config.json'), roots)).toBe(
    `${join('m', 'config.json')}: The file is damaged.`,
  );
  expect(withShortPaths(problem('elsewhere', 'a.gguf'), roots)).toContain(root('elsewhere').fsPath);
  expect(withShortPaths(problem('work-2', 'a.gguf'), roots)).toContain(root('work-2').fsPath);
});

it('adds folders in front of equal names, the nearest first', () => {
  const roots = [root('work'), root('work', 'models')];
  expect(withShortPaths(problem('work', 'models', 'a.gguf'), roots)).toBe(
    `${join('models', 'a.gguf')}: The file is damaged.`,
  );
  expect(withShortPaths(problem('work', 'a.gguf'), roots)).toMatch(/^work.a\.gguf: /);
});
