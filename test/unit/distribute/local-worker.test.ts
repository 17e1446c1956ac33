import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { LocalWorker } from '../../../extension/core/distribute/local-engine';
import { verbatim } from '../../../extension/core/message';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

it('a process receives the shared context until it has opened it', async () => {
  const script = join(folder, 'fails-once.cjs');
  writeFileSync(
    script,
    `let tries = 0;
    process.on('message', ({ task }) => {
      process.send(
        tries++ === 0
          ? { kind: 'failure', text: 'no memory' }
          : { kind: 'result', result: task.setup !== undefined },
      );
    });`,
  );
  const worker = new LocalWorker(
    ...([
      verbatim('one'),
      script,
      { kind: 'search', key: '', files: {}, data: [] },
      { memoryShare: 1 },
    ] as const),
  );
  const ask = async (): Promise<unknown> =>
    worker.do(
      { key: 'a', lane: 0, cost: 1, request: {}, result: v.boolean() },
      { cancellation: { isCancellationRequested: false }, progress: () => undefined },
    );
  await expect(ask()).rejects.toThrow('no memory');
  expect([await ask(), await ask()]).toEqual([true, false]);
  worker.end();
});
