import process from 'node:process';
import { Worker } from 'node:worker_threads';

/** Interval of checks for the parent process, in milliseconds. */
const lookMilliseconds = 500;

/**
 * Source of the watchdog thread. When the parent of a process exits, the process gets another parent immediately,
 * except on Windows; there, the old ID no longer names a process.
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
 * Ends this forked process when its parent exits. Uses a separate thread because a process that computes without a
 * pause never handles the disconnect event.
 */
export function endWithParent(): void {
  process.once('disconnect', () => {
    // An orderly exit would first free ONNX Runtime's memory, which can take many seconds.
    process.kill(process.pid, 'SIGKILL');
  });
  new Worker(lookOut, { eval: true, workerData: process.ppid }).unref();
}
