// Stands for a window: asks the worker for a piece of work, as the job service does, and ends with it.
// window.cjs WORKER TASK, where TASK is a file with an operation and its request. Tells the id of the worker.
import { readFileSync } from 'node:fs';
import process from 'node:process';
import type { WorkerRequests } from '../../extension/protocol/worker';
import { WorkerProcess } from '../../extension/services/worker/worker-process';
import type { Task } from './kinds';

const [modulePath = '', file = ''] = process.argv.slice(2);
const { operation, request } = JSON.parse(readFileSync(file, 'utf8')) as Task;
const worker = new WorkerProcess<WorkerRequests>({
  modulePath,
  graceMilliseconds: 10_000,
  onOutput: (text) => process.stderr.write(text),
});
process.send?.(worker.pid);
worker
  .request(operation, request as never, {})
  .catch((error: unknown) => {
    process.stderr.write(String(error));
    process.exitCode = 1;
  })
  .finally(() => {
    worker.kill();
    process.disconnect();
  });
