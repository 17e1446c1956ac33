import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder';

const PARENT = join(import.meta.dirname, 'server-parent.mjs');

describe.concurrent('a server that a script starts', () => {
  const folder = temporaryFolder();

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGKILL'] as const)(
    'ends, with its children, when its parent gets %s',
    async (signal) => {
      const file = join(folder, signal);
      const parent = spawn(process.execPath, [PARENT, file], { stdio: 'ignore' });
      await endsAt(file, parent, signal);
    },
  );

  it('ends when the npm that runs its parent is killed', async () => {
    const file = join(folder, 'npm');
    const script = `require('node:child_process')
      .spawn(process.execPath, ${JSON.stringify([PARENT, file])}, { stdio: 'ignore' })`;
    const npm = spawn(process.execPath, ['-e', script], {
      stdio: 'ignore',
      env: { ...process.env, npm_lifecycle_event: 'start' },
    });
    await endsAt(file, npm, 'SIGKILL');
  });
});

/** Sends the signal once the server and its child run, which write their process ids into the file. */
async function endsAt(file: string, parent: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  await expect.poll(async () => (await processes(file)).length).toBe(2);
  const started = await processes(file);
  try {
    expect(started.map(isRunning)).toEqual([true, true]);
    parent.kill(signal);
    await expect.poll(() => started.map(isRunning)).toEqual([false, false]);
  } finally {
    for (const pid of started.filter(isRunning)) process.kill(pid, 'SIGKILL');
  }
}

async function processes(file: string): Promise<number[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').filter(Boolean).map(Number);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
