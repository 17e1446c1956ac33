import { fork } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { isRunning } from '../../../extension/core/jobs/owner';
import { temporaryFolder } from '../temporary-folder';
import { bundle } from './bundle';

const folder = temporaryFolder();
/** File that the endless task appends a character to every 20 ms. */
const heartbeat = join(folder, 'heartbeat');
/** File with the process number of the endless task. */
const childPid = join(folder, 'pid');
const parent = join(folder, 'parent.cjs');
const child = join(folder, 'child.cjs');

const beats = (): number => (existsSync(heartbeat) ? statSync(heartbeat).size : 0);

beforeAll(async () => {
  await bundle(
    child,
    `import { appendFileSync, writeFileSync } from 'node:fs';
     import { serveTasks } from './child-task';
     serveTasks(async (task) => {
       if (task === 'quick') return process.pid;
       writeFileSync(${JSON.stringify(childPid)}, String(process.pid));
       for (;;) {
         appendFileSync(${JSON.stringify(heartbeat)}, '.');
         Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
       }
     });`,
  );
  await bundle(
    parent,
    `import { writeFileSync } from 'node:fs';
     import { Child } from './child-task';
     const job = { cancellation: { isCancellationRequested: false }, progress: () => undefined };
     const [task, result] = process.argv.slice(2);
     const child = new Child({ script: ${JSON.stringify(child)} });
     void child.run(task, job).then((pid) => {
       writeFileSync(result, String(pid));
       child.end();
     });`,
  );
});

describe('a child process', () => {
  it('that computes without a pause ends after its parent is killed, not before', async () => {
    const running = fork(parent, ['endless', '']);
    await expect.poll(beats).toBeGreaterThan(0);
    const pid = Number(readFileSync(childPid, 'utf8'));
    // In 75 intervals of 20 ms the child checks its parent at least twice.
    const before = beats();
    await expect.poll(beats).toBeGreaterThan(before + 75);
    expect(isRunning(pid)).toBe(true);
    running.kill('SIGKILL');
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  it('that is done ends, and its parent with it', async () => {
    const result = join(folder, 'result');
    writeFileSync(result, '');
    const running = fork(parent, ['quick', result]);
    const code = await new Promise((resolve) => running.once('exit', resolve));
    expect(code).toBe(0);
    expect(Number(readFileSync(result, 'utf8'))).toBeGreaterThan(0);
  });
});
