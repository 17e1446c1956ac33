import { appendFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { UserError } from '../user-error';
import { say } from '../message';
import { replaceFile } from './replace-file';

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
    /** Which file it is: one that another process has put in its place is not written to. */
    private readonly inode: number | undefined,
  ) {}

  /**
   * Opens the journal at `path` for the job that `identity` describes. It is a new file each time, so that of two runs
   * at once the later one has it for itself.
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
    const replayed: Entry[] = [];
    for (const line of first === header ? lines : []) {
      const entry = parseLine(line, parseEntry);
      // A run that was killed while it wrote leaves half a line.
      if (entry === undefined) {
        break;
      }
      replayed.push(entry);
    }
    const whole = [header, ...replayed.map((entry) => JSON.stringify(entry)), ''].join('\n');
    const inode = await write(path, async () => {
      await replaceFile(path, async (partial) => writeFile(partial, whole));
      return inodeOf(path);
    });
    return new Journal(path, replayed, inode);
  }

  public async append(entries: readonly Entry[]): Promise<void> {
    this.appended += entries.length;
    const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    // Several parts of a job may end at once: each writes whole lines.
    const before = this.writing.catch(() => undefined);
    this.writing = before.then(async () =>
      write(this.path, async () => {
        if (!(await this.#isTaken())) {
          await appendFile(this.path, lines);
        }
      }),
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
    if (!(await this.#isTaken())) {
      await rm(this.path, { force: true }).catch(() => undefined);
    }
  }

  async #isTaken(): Promise<boolean> {
    const inode = await inodeOf(this.path);
    return inode !== undefined && inode !== this.inode;
  }
}

/** Undefined where there is no file. */
const inodeOf = async (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );

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

async function write<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new UserError(say`The journal cannot be written: ${(error as Error).message}.`, {
      file: path,
      remedy: say`Choose an output in a folder that can be written to, with space left.`,
    });
  }
}
