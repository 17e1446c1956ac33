import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { onPath } from '../../jobs/write-errors';

/** Opens a writer for an epoch of a run; undefined if its logits are not needed. */
export type RecordSink = (
  seed: number,
  epoch: number,
  labels: Int32Array,
  classes: number,
) => Promise<
  | {
      /** Writes logits [batch, classes] of the examples from `start`. */
      readonly write: (logits: Float32Array, start: number) => Promise<void>;
      readonly close: () => Promise<void>;
    }
  | undefined
>;

/** Significant digits of logits in text: the precision of float32. */
const digits = 7;

/**
 * Writes the training dynamics of the run with seed 0 in the format of dataset cartography: a file
 * dynamics_epoch_K.jsonl for each epoch K from 0, with lines {guid, logits_epoch_K, gold}.
 */
export function cartographyFiles(folder: string): RecordSink {
  return async (seed, epoch, labels, classes) => {
    if (seed !== 0) {
      return undefined;
    }
    await onPath(folder, async () => mkdir(folder, { recursive: true }));
    const number = Math.max(0, epoch - 1);
    const path = join(folder, `dynamics_epoch_${number}.jsonl`);
    const file = await onPath(path, async () => open(path, 'w'));
    return {
      write: async (logits, start) => {
        const lines = Array.from({ length: logits.length / classes }, (_, row) => {
          const values = logits.subarray(row * classes, (row + 1) * classes);
          return `${JSON.stringify({
            guid: start + row,
            [`logits_epoch_${number}`]: Array.from(values, (x) => Number(x.toPrecision(digits))),
            gold: labels[start + row],
          })}\n`;
        });
        await onPath(path, async () => file.writeFile(lines.join('')));
      },
      close: async () => onPath(path, async () => file.close()),
    };
  };
}
