import { fork } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder';
import { bundle } from './bundle';

const folder = temporaryFolder();
/** What a task writes to as long as it runs. */
const heartbeat = join(folder, 'heartbeat');
const parent = join(folder, 'parent.cjs');
const child = join(folder, 'child.cjs');

const beats = (): number => (existsSync(heartbeat) ? statSync(heartbeat).size : 0);

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 600) {
      throw new Error(`${what} did not come`);
    }
    await wait(100);
  }
}

beforeAll(async () => {
  await bundle(
    child,
    `import { appendFileSync } from 'node:fs';
     import { serveTasks } from './child-task';
     serveTasks(async (task) => {
       if (task === 'quick') return process.pid;
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
  it('that computes without a pause ends soon after its parent is killed', async () => {
    const running = fork(parent, ['endless', '']);
    await until('a sign of life', () => beats() > 5);
    const before = beats();
    await wait(1500);
    expect(beats()).toBeGreaterThan(before);
    running.kill('SIGKILL');
    let after = beats();
    await wait(2000);
    for (let tries = 0; beats() !== after && tries < 20; tries++) {
      after = beats();
      await wait(2000);
    }
    expect(beats()).toBe(after);
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
