import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ChildEndedError, runInChild } from '../../jobs/child-task';
import { UserError } from '../../user-error';
import { eachChunk } from './parquet-file';

/** Memory that the rows of one read may take, in MiB. */
const heapMegabytes = 2048;

/** What is decoded. */
export interface ParquetTask {
  readonly path: string;
  readonly columns: readonly string[];
}

/** The bundle that decodes: beside this one, or where the sources are run, in dist/. */
const scripts = ['.', '../../../../dist'].map((folder) =>
  join(import.meta.dirname, folder, 'parquet-check.js'),
);

/**
 * Decodes columns of Parquet files in a process of its own, since the library trusts the lengths of runs in a
 * file: a few bytes can stand for more values than memory holds, which would end this process.
 * @throws UserError naming a file that takes too much memory, or that cannot be decoded.
 */
export async function checkParquet(
  files: readonly string[],
  columns: readonly string[],
): Promise<void> {
  const script = scripts.find((path) => existsSync(path));
  if (script === undefined) {
    throw new Error('parquet-check.js is not built');
  }
  const job = { cancellation: { isCancellationRequested: false }, progress: () => undefined };
  for (const path of files) {
    const task: ParquetTask = { path, columns };
    try {
      await runInChild({ script, heapMegabytes }, task, job);
    } catch (error) {
      throw error instanceof ChildEndedError
        ? new UserError(`Its rows cannot be decoded in ${heapMegabytes / 1024} GiB of memory.`, {
            file: path,
            remedy: 'If the file is sound, save it again with smaller row groups.',
          })
        : error;
    }
  }
}

/** Decodes and forgets; what the child does. */
export async function decodeParquet({ path, columns }: ParquetTask): Promise<void> {
  await eachChunk(path, columns, () => undefined);
}
