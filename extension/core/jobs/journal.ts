import { appendFile, open, readFile, rm } from 'node:fs/promises';
import { UserError } from '../user-error';
import { say } from '../message';

/**
 * An append-only file of one JSON value per line, so that a job that was stopped can go on. The
 * first line says what the job was; a journal of another job is replaced.
 */
export class Journal<Entry> {
  private appended = 0;
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    public readonly path: string,
    /** Entries of an earlier run of the same job. */
    public readonly replayed: readonly Entry[],
  ) {}

  /**
   * Opens the journal at `path` for the job that `identity` describes.
   * @throws UserError when the file cannot be written.
   */
  public static async open<Entry>(
    path: string,
    identity: string,
    parseEntry: (value: unknown) => Entry | undefined,
  ): Promise<Journal<Entry>> {
    const header = JSON.stringify({ journal: identity });
    const text = await readFile(path, 'utf8').catch(() => '');
    const [first, ...lines] = text.split('\n');
    if (first !== header) {
      await write(path, async () => {
        const file = await open(path, 'w');
        try {
          await file.writeFile(`${header}\n`);
        } finally {
          await file.close();
        }
      });
      return new Journal(path, []);
    }
    const replayed: Entry[] = [];
    for (const line of lines) {
      const entry = parseLine(line, parseEntry);
      if (entry === undefined) {
        break;
      }
      replayed.push(entry);
    }
    // A run that was killed while it wrote leaves half a line: the file is cut back to whole ones.
    const whole = [header, ...replayed.map((entry) => JSON.stringify(entry)), ''].join('\n');
    if (whole !== text) {
      await write(path, async () => {
        const file = await open(path, 'w');
        try {
          await file.writeFile(whole);
        } finally {
          await file.close();
        }
      });
    }
    return new Journal(path, replayed);
  }

  public async append(entries: readonly Entry[]): Promise<void> {
    this.appended += entries.length;
    const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    // Several parts of a job may end at once: each writes whole lines.
    const before = this.writing.catch(() => undefined);
    this.writing = before.then(async () =>
      write(this.path, async () => appendFile(this.path, lines)),
    );
    await this.writing;
  }

  /** Removes the file if a run that ended early left nothing in it to resume. */
  public async removeIfEmpty(): Promise<void> {
    if (this.appended + this.replayed.length === 0) {
      await this.remove();
    }
  }

  /** The job is done; nothing is left to resume. One that cannot be removed is no reason to fail: it says what is done. */
  public async remove(): Promise<void> {
    await rm(this.path, { force: true }).catch(() => undefined);
  }
}

function parseLine<Entry>(
  line: string,
  parseEntry: (value: unknown) => Entry | undefined,
): Entry | undefined {
  try {
    return parseEntry(JSON.parse(line));
  } catch {
    return undefined;
  }
}

async function write(path: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    throw new UserError(say`The journal cannot be written: ${(error as Error).message}.`, {
      file: path,
      remedy: say`Choose an output in a folder that can be written to, with space left.`,
    });
  }
}
