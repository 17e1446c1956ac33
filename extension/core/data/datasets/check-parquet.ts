import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { WorkerLostError } from '../../jobs/child-task';
import { SpareChild } from '../../jobs/spare-child';
import { UserError } from '../../user-error';
import { eachChunk, withParquet } from './parquet-file';
import { say } from '../../message';

/** Largest and smallest limit of memory, in MiB. */
const [mostMegabytes, leastMegabytes] = [4096, 512] as const;
/** What a value takes as an object at most, and what a byte of the file is unpacked to, in bytes. */
const [bytesPerValue, bytesPerByte] = [64, 16] as const;
/** Seconds that a file may take, and those that each MiB of it and each million of its values add. */
const [leastSeconds, secondsPerMegabyte, secondsPerMillion] = [5, 1, 10] as const;
const mebi = 2 ** 20;
/** Waits 2 s for another file: starting a process takes longer than decoding a small file. */
const spare = new SpareChild(2000);

/** A file and the columns to decode. */
export interface ParquetTask {
  readonly path: string;
  readonly columns: readonly string[];
}

/**
 * Decodes columns of Parquet files in a process of its own, since the library trusts the lengths of runs in a
 * file: a few bytes can stand for more values than memory holds, or a lifetime counts, which would end this
 * process.
 * @throws UserError naming a file that takes too much memory or time, or that cannot be decoded.
 */
export async function checkParquet(
  files: readonly string[],
  columns: readonly string[],
): Promise<void> {
  // Beside this bundle, or where the sources are run, in dist/.
  const script = ['.', '../../../../dist']
    .map((folder) => join(import.meta.dirname, folder, 'parquet-check.js'))
    .find((path) => existsSync(path));
  if (script === undefined) {
    throw new Error('parquet-check.js is not built');
  }
  const job = { cancellation: { isCancellationRequested: false }, progress: () => undefined };
  for (const path of files) {
    const { heapMegabytes, seconds } = await limitsOf(path, columns.length);
    const task: ParquetTask = { path, columns };
    try {
      await spare.use({ script, heapMegabytes }, async (child) => child.run(task, job, seconds));
    } catch (error) {
      throw error instanceof WorkerLostError
        ? new UserError(
            say`Its rows cannot be decoded in ${heapMegabytes} MiB of memory and ${seconds} s.`,
            {
              file: path,
              remedy: say`If the file is sound, save it again with smaller row groups.`,
            },
          )
        : error;
    }
  }
}

/** What a sound file of this size and number of rows stays below. */
async function limitsOf(
  path: string,
  columns: number,
): Promise<{ heapMegabytes: number; seconds: number }> {
  const { bytes, values } = await withParquet(path, async ({ byteLength }, { num_rows }) =>
    Promise.resolve({ bytes: byteLength, values: Number(num_rows) * columns }),
  );
  const needed = (bytesPerByte * bytes + bytesPerValue * values) / mebi;
  const seconds = (secondsPerMegabyte * bytes) / mebi + (secondsPerMillion * values) / 1e6;
  return {
    heapMegabytes: Math.min(mostMegabytes, Math.ceil(leastMegabytes + needed)),
    seconds: Math.ceil(leastSeconds + seconds),
  };
}

/** Decodes and forgets; what the child does. */
export async function decodeParquet({ path, columns }: ParquetTask): Promise<void> {
  await eachChunk(path, columns, () => undefined);
}
