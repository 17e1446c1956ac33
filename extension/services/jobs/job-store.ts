import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import * as v from 'valibot';
import { parseDocument } from '../../core/jobs/parse-document';
import { writeText } from '../../core/jobs/write-document';
import { isOver, isResumable, jobRecordSchema } from './job-record';
import type { StoredJob } from './job-record';
import { say } from '../../core/message';

/** Jobs that are kept; what can be resumed is kept beyond that. */
const historyLength = 200;

const storeSchema = v.object({
  format: v.literal('espalier.jobs'),
  version: v.literal(1),
  jobs: v.array(v.unknown()),
});

/** The file that remembers jobs between windows. */
export class JobStore {
  readonly #file: string;
  readonly #warn: (text: string) => void;
  #writing: Promise<void> | undefined;
  #next: readonly StoredJob[] | undefined;

  public constructor(file: string, warn: (text: string) => void) {
    this.#file = file;
    this.#warn = warn;
  }

  /**
   * Stored jobs, the oldest first. An unreadable file is moved aside; an unreadable job is skipped.
   */
  public load(): StoredJob[] {
    let text: string;
    try {
      mkdirSync(dirname(this.#file), { recursive: true });
      text = readFileSync(this.#file, 'utf8');
    } catch {
      return [];
    }
    try {
      const { jobs } = parseDocument(storeSchema, text, this.#file, say`a list of jobs`);
      return jobs.flatMap((job) => {
        const parsed = v.safeParse(jobRecordSchema, job);
        return parsed.success ? [parsed.output] : [];
      });
    } catch (error) {
      this.#warn((error as Error).message);
      renameSync(this.#file, `${this.#file}.damaged`);
      return [];
    }
  }

  /** Writes the jobs; while one write is under way, only the latest of those asked for follows. */
  public async save(jobs: readonly StoredJob[]): Promise<void> {
    this.#next = jobs;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#next !== undefined) {
      const jobs = this.#next;
      this.#next = undefined;
      try {
        await mkdir(dirname(this.#file), { recursive: true });
        const head = JSON.stringify({ format: 'espalier.jobs', version: 1 }).slice(0, -1);
        await writeText(this.#file, `${head},"jobs":[${await serializeJobs([...jobs])}]}\n`);
      } catch (error) {
        // Jobs go on without a memory.
        this.#warn((error as Error).message);
      }
    }
  }
}

/** Serializes jobs one at a time, so that a long history doesn't block. */
async function serializeJobs(jobs: readonly StoredJob[]): Promise<string> {
  const texts: string[] = [];
  for (const job of jobs) {
    texts.push(JSON.stringify(job));
    await setImmediate();
  }
  return texts.join(',');
}

/** The jobs without the oldest that are over, so that the history stays short. */
export function withoutOldest(jobs: readonly StoredJob[], most = historyLength): StoredJob[] {
  let surplus = jobs.length - most;
  return jobs.filter((job) => {
    const goes = surplus > 0 && isOver(job) && !isResumable(job);
    surplus -= goes ? 1 : 0;
    return !goes;
  });
}
