import { randomUUID } from 'node:crypto';
import { constants, lstat, open, rm, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { readWholeFile, withRegularFile } from '../regular-file';
import { UserError } from '../user-error';
import { say } from '../message';
import { notWritable, replaceFile } from './write-document';
import * as v from 'valibot';

/**
 * Append-only file with one JSON value per line, from which a stopped job resumes. The first line identifies the job; a
 * journal of another job is replaced.
 */
export class Journal<Entry> {
  private appended = 0;
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    public readonly path: string,
    /** Entries of an earlier run of the same job. */
    public readonly replayed: readonly Entry[],
    /** First line, which differs from that of a file another run has put at this path. */
    private readonly header: string,
  ) {}

  /**
   * Opens the journal at `path` for the job that `identity` describes. Each run writes a new file with a unique first
   * line, so if two runs overlap, the later one owns the journal.
   * @throws UserError if the file cannot be read or written, or is not a journal.
   */
  public static async open<Entry>(
    path: string,
    identity: string,
    parseEntry: (value: unknown) => Entry | undefined,
  ): Promise<Journal<Entry>> {
    const text = await readJournal(path);
    const [first = '', ...lines] = text.split('\n');
    if (text !== '' && parseIdentity(first) === undefined) {
      throw new UserError('journal-invalid', say`The file is not a journal of Espalier.`, {
        file: path,
        remedy: say`Move it, or choose another output.`,
      });
    }
    const replayed: Entry[] = [];
    for (const line of parseIdentity(first) === identity ? lines : []) {
      const entry = parseLine(line, parseEntry);
      // A run that was killed while writing leaves an incomplete line.
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
    // Several parts of a job may end at the same time, so writes are queued.
    const before = this.writing.catch(() => undefined);
    this.writing = before.then(async () =>
      write(this.path, async () => {
        // Checks and writes the same open file, even if the path is replaced meanwhile.
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

  /** Removes the file if a run that ended early left nothing to resume. */
  public async removeIfEmpty(): Promise<void> {
    if (this.appended + this.replayed.length === 0) {
      await this.remove();
    }
  }

  /** Removes the journal of a finished job. Failure is ignored: the journal then only records finished work. */
  public async remove(): Promise<void> {
    const isOwn = withRegularFile(this.path, async ({ handle }) => this.#isOwn(handle));
    if (await isOwn.catch(() => false)) {
      await rm(this.path, { force: true }).catch(() => undefined);
    }
  }

  /** True if the file starts with the header that this run wrote. */
  async #isOwn(file: FileHandle): Promise<boolean> {
    const expected = Buffer.from(this.header);
    const { buffer } = await file.read(Buffer.alloc(expected.length), 0, expected.length, 0);
    return buffer.equals(expected);
  }
}

/** Maximum string length in V8. */
const maxBytes = 2 ** 29 - 24;

/**
 * Text of a journal, empty if there is none.
 * @throws UserError if it cannot be read, because replacing it would lose saved work.
 */
async function readJournal(path: string): Promise<string> {
  const remedy = say`Check its permissions, or delete it to start from the beginning.`;
  const found = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw new UserError(
      'journal-unreadable',
      say`The saved progress cannot be read: ${(error as Error).message}.`,
      { file: path, remedy },
    );
  });
  if (found?.isFile() === false) {
    throw new UserError('file-not-regular', say`This is not a regular file.`, {
      file: path,
      remedy,
    });
  }
  return found === undefined ? '' : (await readWholeFile(path, maxBytes, remedy)).toString('utf8');
}

/** Appends all lines or none: entries after an incomplete line would be lost. */
async function appendWhole(file: FileHandle, lines: string): Promise<void> {
  const { size } = await file.stat();
  try {
    await file.appendFile(lines);
  } catch (error) {
    await file.truncate(size).catch(() => undefined);
    throw error;
  }
}

/** Job identity in the first line of a journal. */
function parseIdentity(header: string): unknown {
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
    const problem = say`Progress cannot be saved: ${(error as Error).message}.`;
    throw notWritable('journal-not-writable', problem, path);
  }
}

/**
 * Journal entry with the seconds and evaluations that a run had used when it last wrote. The runs of a job are added
 * up.
 */
export const spentSchema = v.object({
  kind: v.literal('spent'),
  seconds: v.number(),
  evaluations: v.number(),
  /** Index of the run, from 0. */
  run: v.number(),
});
export type Spent = v.InferOutput<typeof spentSchema>;

/** Total of all earlier runs of a job, and their number. */
export function totalSpent(entries: readonly { readonly kind: string }[]): {
  readonly seconds: number;
  readonly evaluations: number;
  readonly runs: number;
} {
  const last = new Map(
    entries
      .filter((entry): entry is Spent => entry.kind === 'spent')
      .map((entry) => [entry.run, entry]),
  );
  const runs = [...last.values()];
  return {
    seconds: runs.reduce((sum, { seconds }) => sum + seconds, 0),
    evaluations: runs.reduce((sum, { evaluations }) => sum + evaluations, 0),
    runs: runs.length,
  };
}
