import { parentPort } from 'node:worker_threads';
import { quantizeRows } from '../core/checkpoints/quantize/quantizers';
import type { RowTask } from '../core/checkpoints/quantize/row-threads';

/** A thread that writes the rows it is sent, one task after the other. */
parentPort?.on('message', ({ type, numbers, length, importance }: RowTask) => {
  const bytes = quantizeRows(type, numbers, length, importance);
  parentPort?.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
});
