import { randomUUID } from 'node:crypto';
import { constants, lstat, open, rm, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { readWholeFile, withRegularFile } from '../regular-file';
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
    /** Its first line, which tells it from one that another run has put in its place. */
    private readonly header: string,
  ) {}

  /**
   * Opens the journal at `path` for the job that `identity` describes. It is a new file each time, with a first line of
   * its own, so that of two runs at once the later one has it for itself.
   * @throws UserError if the file cannot be read or written, or is no journal.
   */
  public static async open<Entry>(
    path: string,
    identity: string,
    parseEntry: (value: unknown) => Entry | undefined,
  ): Promise<Journal<Entry>> {
    const text = await readJournal(path);
    const [first = '', ...lines] = text.split('\n');
    if (text !== '' && identityOf(first) === undefined) {
      throw new UserError(say`The file is not a journal of Espalier.`, {
        file: path,
        remedy: say`Move it, or choose another output.`,
      });
    }
    const replayed: Entry[] = [];
    for (const line of identityOf(first) === identity ? lines : []) {
      const entry = parseLine(line, parseEntry);
      // A run that was killed while it wrote leaves half a line.
      if (entry === undefined) {
        break;
      }
      replayed.push(entry);
    }
    const header = JSON.stringify({ journal: identity, run: randomUUID() });
    const whole = [header, ...replayed.map((entry) => JSON.stringify(entry)), ''].join('\n');
    await write(path, async () => {
      await replaceFile(path, async (partial) => writeFile(partial, whole));
    });
    return new Journal(path, replayed, header);
  }

  public async append(entries: readonly Entry[]): Promise<void> {
    this.appended += entries.length;
    const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    // Several parts of a job may end at once: each writes whole lines.
    const before = this.writing.catch(() => undefined);
    this.writing = before.then(async () =>
      write(this.path, async () => {
        // The file that is looked at is the one that is written to, whatever comes to its place.
        const file = await open(this.path, constants.O_RDWR | constants.O_APPEND);
        try {
          if (await this.#isOwn(file)) {
            await appendWhole(file, lines);
          }
        } finally {
          await file.close();
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
    const isOwn = withRegularFile(this.path, async ({ handle }) => this.#isOwn(handle));
    if (await isOwn.catch(() => false)) {
      await rm(this.path, { force: true }).catch(() => undefined);
    }
  }

  /** Whether a file begins as this run has begun it. */
  async #isOwn(file: FileHandle): Promise<boolean> {
    const expected = Buffer.from(this.header);
    const { buffer } = await file.read(Buffer.alloc(expected.length), 0, expected.length, 0);
    return buffer.equals(expected);
  }
}

/** Longest text of V8. */
const mostBytes = 2 ** 29 - 24;

/**
 * Text of a journal; empty if there is none.
 * @throws UserError if it cannot be read: replacing it would lose what it holds.
 */
async function readJournal(path: string): Promise<string> {
  const remedy = say`Check its permissions, or delete it to start from the beginning.`;
  const found = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw new UserError(say`The journal cannot be read: ${(error as Error).message}.`, {
      file: path,
      remedy,
    });
  });
  if (found?.isFile() === false) {
    throw new UserError(say`This is not a regular file.`, { file: path, remedy });
  }
  return found === undefined ? '' : (await readWholeFile(path, mostBytes, remedy)).toString('utf8');
}

/** Writes all lines or none: lines after a half one would be lost. */
async function appendWhole(file: FileHandle, lines: string): Promise<void> {
  const { size } = await file.stat();
  try {
    await file.appendFile(lines);
  } catch (error) {
    await file.truncate(size).catch(() => undefined);
    throw error;
  }
}

/** What the job of a journal was, by its first line. */
function identityOf(header: string): unknown {
  try {
    return (JSON.parse(header) as { readonly journal?: unknown } | null)?.journal;
  } catch {
    return undefined;
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
