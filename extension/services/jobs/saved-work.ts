import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isPartial, removeLeftovers } from '../../core/jobs/partial';
import { getOperation } from './operations';
import type { JobRecord } from './job-record';

type Job = Pick<JobRecord, 'operation' | 'request'>;

/** Files and folders of finished work, whether they are there or not. */
export function savedWorkPaths({ operation, request }: Job): readonly string[] {
  return getOperation(operation).saves?.(request) ?? [];
}

/** True if there is finished work on disk. */
export const hasWork = (job: Job): boolean => savedWorkPaths(job).some(holdsWork);

/** Deletes finished and partial work, but not the job's output. */
export async function removeWork(job: Job): Promise<void> {
  const { saved, output } = getOperation(job.operation);
  const result = output?.(job.request);
  for (const path of [...savedWorkPaths(job), ...(saved?.leftovers?.(job.request) ?? [])]) {
    if (path !== result) {
      await rm(path, { recursive: true, force: true });
    }
  }
  if (result !== undefined) {
    await removeLeftovers(result);
  }
}

function holdsWork(path: string): boolean {
  try {
    return statSync(path).isDirectory()
      ? readdirSync(path).some((name) => !isPartial(name) && holdsWork(join(path, name)))
      : isWork(path);
  } catch {
    return false;
  }
}

/** A `.json` file describes the job; everything else is work. A journal counts if it has an entry. */
function isWork(file: string): boolean {
  return file.endsWith('.jsonl') ? hasEntry(file) : !file.endsWith('.json');
}

/** True if a journal has a line after its header. */
function hasEntry(journal: string): boolean {
  // Opening a pipe would block. Windows has no such flag.
  const file = openSync(journal, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) return false;
    const start = Buffer.alloc(4096);
    const text = start.toString('utf8', 0, readSync(file, start, 0, start.length, 0));
    const header = text.indexOf('\n');
    return header < 0 ? text.length === start.length : text.length > header + 1;
  } finally {
    closeSync(file);
  }
}
