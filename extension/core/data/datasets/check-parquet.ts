import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { WorkerLostError, SpareChild } from '../../jobs/child-task';
import { UserError } from '../../user-error';
import { eachChunk, withParquet } from './parquet-file';
import { say } from '../../message';

/** Maximum and minimum memory limit in MiB. */
const [maxMegabytes, minMegabytes] = [4096, 512] as const;
/** Maximum memory per decoded value, and per byte of the file when decompressed, in bytes. */
const [bytesPerValue, bytesPerByte] = [64, 16] as const;
/** Time limit in seconds: base, per MiB of the file, and per million values. */
const [minSeconds, secondsPerMegabyte, secondsPerMillion] = [5, 1, 10] as const;
const mebi = 2 ** 20;
/** Idle time of the child process, 2 s: starting a process takes longer than decoding a small file. */
const spare = new SpareChild(2000);

/** Parquet file, and the columns to decode. */
export interface ParquetTask {
  readonly path: string;
  readonly columns: readonly string[];
}

/**
 * Decodes columns of Parquet files in a child process and discards the result. The library trusts run lengths in the
 * file, so a few bytes can expand to more values than fit in memory or in a lifetime, which would crash this process.
 * @throws UserError naming a file that needs too much memory or time, or that can't be decoded.
 */
export async function checkParquet(
  files: readonly string[],
  columns: readonly string[],
): Promise<void> {
  // The script is next to this bundle, or in dist/ when run from sources.
  const script = ['.', '../../../../dist']
    .map((folder) => join(import.meta.dirname, folder, 'parquet-check.js'))
    .find((path) => existsSync(path));
  if (script === undefined) {
    throw new Error('parquet-check.js is not built');
  }
  const job = { cancellation: { isCancellationRequested: false }, progress: () => undefined };
  for (const path of files) {
    const { heapMegabytes, seconds } = await childLimits(path, columns.length);
    const task: ParquetTask = { path, columns };
    try {
      await spare.use({ script, heapMegabytes }, async (child) => child.run(task, job, seconds));
    } catch (error) {
      throw error instanceof WorkerLostError
        ? new UserError(
            'parquet-too-large',
            say`Its rows can't be decoded in ${heapMegabytes} MiB of memory and ${seconds} s.`,
            {
              file: path,
              remedy: say`If the file is valid, save it again with smaller row groups.`,
            },
          )
        : error;
    }
  }
}

/** Memory and time limits that valid files of this size and row count don't exceed. */
async function childLimits(
  path: string,
  columns: number,
): Promise<{ heapMegabytes: number; seconds: number }> {
  const { bytes, values } = await withParquet(path, async ({ byteLength }, { num_rows }) =>
    Promise.resolve({ bytes: byteLength, values: Number(num_rows) * columns }),
  );
  const needed = (bytesPerByte * bytes + bytesPerValue * values) / mebi;
  const seconds = (secondsPerMegabyte * bytes) / mebi + (secondsPerMillion * values) / 1e6;
  return {
    heapMegabytes: Math.min(maxMegabytes, Math.ceil(minMegabytes + needed)),
    seconds: Math.ceil(minSeconds + seconds),
  };
}

/** Decodes columns and discards them. Runs in the child process. */
export async function decodeParquet({ path, columns }: ParquetTask): Promise<void> {
  await eachChunk(path, columns, () => undefined);
}
