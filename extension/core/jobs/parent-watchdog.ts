import process from 'node:process';
import { Worker } from 'node:worker_threads';

/** How often the parent is looked for. */
const lookMilliseconds = 500;

/**
 * What the thread runs. A process whose parent has ended gets another parent at once, except on Windows, where
 * the number of the old one no longer names a process.
 */
const lookOut = `
const { workerData: parent } = require('node:worker_threads');
const isGone = () => {
  if (process.ppid !== parent) {
    return true;
  }
  try {
    process.kill(parent, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
};
setInterval(() => {
  if (isGone()) {
    process.kill(process.pid, 'SIGKILL');
  }
}, ${lookMilliseconds});
`;

/**
 * Ends this process, which another has forked, when that one is gone: nobody is left to work for. A thread of
 * its own looks out, as a process that computes without a pause never hears that its channel is closed.
 */
export function endWithParent(): void {
  process.once('disconnect', () => {
    // An orderly exit would first give back what ONNX Runtime holds, which can take many seconds.
    process.kill(process.pid, 'SIGKILL');
  });
  new Worker(lookOut, { eval: true, workerData: process.ppid }).unref();
}
