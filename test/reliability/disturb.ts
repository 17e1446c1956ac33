import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { Task } from './kinds';
import { marker } from './processes';

/** Process to start and process to kill: the command line, the worker of a window, or the window. */
export const ways = ['command line', 'worker', 'window'] as const;
export type Way = (typeof ways)[number];

/** A blow at some time after the start. */
export interface Blow {
  readonly way: Way;
  readonly signal: NodeJS.Signals;
  readonly afterMilliseconds: number;
}

/** Bundles of the product and the window of {@link Way}. */
export interface Programs {
  readonly dist: string;
  readonly window: string;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** True if the signal was sent before the end. */
  readonly isHit: boolean;
}

/** Runs a task in its own processes and kills one of them, or none without a blow. */
export async function runTask(
  { operation, request }: Task,
  { dist, window }: Programs,
  { way, signal, afterMilliseconds }: Blow,
  { folder, mark }: { readonly folder: string; readonly mark: string },
): Promise<Ending> {
  const file = join(folder, 'task.json');
  const isCommandLine = way === 'command line';
  writeFileSync(
    file,
    JSON.stringify(isCommandLine ? { operation, ...request } : { operation, request }),
  );
  const env = { ...process.env, [marker]: mark };
  const child: ChildProcess = isCommandLine
    ? spawn(process.execPath, [join(dist, 'cli.js'), operation, '--config', file, '--json'], {
        ...{ env, stdio: ['ignore', 'ignore', 'pipe'] },
      })
    : fork(window, [join(dist, 'worker.js'), file], {
        ...{ env, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
      });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  let victim = way === 'worker' ? undefined : child.pid;
  child.once('message', (pid) => {
    if (way === 'worker') victim = pid as number;
  });
  let isHit = false;
  const hit = (): void => {
    if (victim === undefined || child.exitCode !== null) return;
    try {
      isHit = process.kill(victim, signal);
    } catch {
      // It has ended meanwhile.
    }
  };
  const timer = afterMilliseconds < Infinity ? setTimeout(hit, afterMilliseconds) : undefined;
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, by) => {
      clearTimeout(timer);
      resolve({ code, signal: by, stderr, isHit });
    });
  });
}
