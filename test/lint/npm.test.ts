import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

it('npm runs no install scripts here, which would download CUDA, and warns of nothing', async () => {
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const { stdout, stderr } = await promisify(execFile)('npm', ['config', 'get', 'ignore-scripts'], {
    cwd: root,
    env: Object.fromEntries(inherited),
    shell: process.platform === 'win32',
  });
  expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: 'true', stderr: '' });
});
