import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeText } from '../../core/jobs/write-document';
import { readSmallText } from '../../core/regular-file';

/** Reports that are kept, the latest. */
const most = 100;

/** Texts of reports by a key, in a folder: a window that opens again finds those of the one before. */
export class ReportStore {
  readonly #folder: string;

  public constructor(folder: string) {
    this.#folder = folder;
  }

  public async load(key: string): Promise<string | undefined> {
    return readSmallText(this.#file(key)).catch(() => undefined);
  }

  /** @throws UserError when the folder cannot be written to. */
  public async save(key: string, text: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await writeText(this.#file(key), text);
    await this.#removeOldest();
  }

  #file(key: string): string {
    return join(this.#folder, `${createHash('sha256').update(key).digest('hex')}.md`);
  }

  async #removeOldest(): Promise<void> {
    const files = (await readdir(this.#folder)).map((name) => join(this.#folder, name));
    if (files.length <= most) {
      return;
    }
    const timed = await Promise.all(
      files.map(async (file) => ({ file, time: (await stat(file)).mtimeMs })),
    );
    timed.sort((a, b) => b.time - a.time);
    await Promise.all(timed.slice(most).map(async ({ file }) => rm(file, { force: true })));
  }
}
