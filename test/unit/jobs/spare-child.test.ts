import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Child, WorkerLostError, SpareChild } from '../../../extension/core/jobs/child-task';
import { unattended } from '../../../extension/core/jobs/job';
import { temporaryFolder } from '../temporary-folder';
import { bundle } from './bundle';

const folder = temporaryFolder();
const script = join(folder, 'child.cjs');
/** File to which tasks that never answer write. */
const begun = join(folder, 'begun');

beforeAll(async () => {
  await bundle(
    script,
    `import { appendFileSync } from 'node:fs';
     import { connect } from 'node:net';
     import { serveTasks } from './child-task';
     serveTasks(async ({ port, fault }) => {
       if (port !== undefined) connect(port, '127.0.0.1').on('error', () => undefined);
       if (fault !== undefined) {
         appendFileSync(${JSON.stringify(begun)}, fault);
         if (fault === 'crash') process.kill(process.pid, 'SIGKILL');
         await new Promise(() => undefined);
       }
       return process.pid;
     });`,
  );
});

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const alive = (pids: readonly number[]): number => pids.filter(isAlive).length;

/** Waits until `count` processes are left. */
async function left(count: number, pids: readonly number[]): Promise<void> {
  await expect.poll(() => alive(pids)).toBe(count);
}

describe('a process that waits for the next task', () => {
  let started: number[] = [];

  /** The process that does a task. */
  async function readPid(spare: SpareChild, heapMegabytes = 64): Promise<number> {
    const pid = await spare.use({ script, heapMegabytes }, async (child) =>
      child.run({}, unattended),
    );
    started.push(pid as number);
    return pid as number;
  }

  afterEach(() => {
    for (const pid of started.filter(isAlive)) {
      process.kill(pid, 'SIGKILL');
    }
    started = [];
  });

  it('does it if it was started with the same options', async () => {
    const spare = new SpareChild(60_000);
    const first = await readPid(spare);
    expect(await readPid(spare)).toBe(first);
    const larger = await readPid(spare, 65);
    expect(larger).not.toBe(first);
    await left(0, [first]);
    expect(isAlive(larger)).toBe(true);
  });

  it('is one of the children that ran tasks in parallel', async () => {
    const spare = new SpareChild(60_000);
    const first = await readPid(spare);
    const both = await Promise.all([readPid(spare), readPid(spare)]);
    expect(both[0]).toBe(first);
    expect(both[1]).not.toBe(first);
    await left(1, both);
    expect(both).toContain(await readPid(spare));
  });

  it('ends if no task arrives in time', async () => {
    const spare = new SpareChild(100);
    const first = await readPid(spare);
    await left(0, [first]);
    expect(await readPid(spare)).not.toBe(first);
  });

  it('is replaced if it died meanwhile', async () => {
    const spare = new SpareChild(60_000);
    const first = await readPid(spare);
    process.kill(first, 'SIGKILL');
    // At once, before its end is heard of.
    const second = await readPid(spare);
    expect(second).not.toBe(first);
    process.kill(second, 'SIGKILL');
    await left(0, [second]);
    expect(await readPid(spare)).not.toBe(second);
  });

  it.each(['crash', 'take too long'])('is not replaced if it was the task: %s', async (fault) => {
    writeFileSync(begun, '');
    const spare = new SpareChild(60_000);
    const first = await readPid(spare);
    const lost = spare.use({ script, heapMegabytes: 64 }, async (child) =>
      child.run({ fault }, unattended, fault === 'crash' ? 60 : 0.3),
    );
    await expect(lost).rejects.toThrow(WorkerLostError);
    expect(readFileSync(begun, 'utf8')).toBe(fault);
    expect(isAlive(first)).toBe(false);
  });

  it('does not keep its parent alive, and ends with it', async () => {
    const parent = join(folder, 'parent.cjs');
    await bundle(
      parent,
      `import { SpareChild } from './child-task';
       const job = { cancellation: { isCancellationRequested: false }, progress: () => undefined };
       const task = { port: Number(process.argv[2]) };
       void new SpareChild(60_000).use({ script: ${JSON.stringify(script)} }, (child) => child.run(task, job));`,
    );
    // A connection closes with its process.
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const closed = once(server, 'connection').then(async ([socket]) =>
      once(
        (socket as Socket).resume().on('error', () => undefined),
        'close',
      ),
    );
    const running = fork(parent, [String((server.address() as AddressInfo).port)]);
    expect(await once(running, 'exit')).toEqual([0, null]);
    await closed;
    server.close();
  });
});

describe('a process that never becomes ready', () => {
  it('is ended after its time and a minute', async () => {
    const silent = join(folder, 'silent.cjs');
    writeFileSync(silent, 'setInterval(() => undefined, 1000);');
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      const child = new Child({ script: silent });
      const lost = expect(child.run({}, unattended, 5)).rejects.toThrow(/ended with SIGKILL/);
      const end = vi.spyOn(child, 'end');
      vi.advanceTimersByTime(64_000);
      expect(end).not.toHaveBeenCalled();
      vi.advanceTimersByTime(2000);
      expect(end).toHaveBeenCalled();
      await lost;
    } finally {
      vi.useRealTimers();
    }
  });
});
