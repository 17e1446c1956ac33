import { mkdir, open, readdir, realpath, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import {
  exists,
  moveAside,
  partialPath,
  releaseHidden,
  removeAside,
  removeEmptyParents,
  removeStale,
  restoreAside,
  resolveLinks,
} from '../jobs/partial';
import { CancelledError } from '../jobs/job';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { onPath } from '../jobs/write-document';
import { say } from '../message';
import type { Message } from '../message';
import { isSystemFile } from '../jobs/work-folder';
import * as v from 'valibot';
import { readModelText } from '../checkpoints/model-file';
import { manifestName } from '../document-names';
import { parseJsonOrUndefined } from '../parse-json';

/**
 * Folder that is created completely or not at all: files are written to a hidden folder next to the
 * final path, which is renamed at the end.
 */
export class OutputFolder {
  private constructor(
    /** Absolute final path with links resolved. */
    public readonly path: string,
    /** Temporary path to write to until then. */
    public readonly partial: string,
    /** The outermost folder that had to be made for it, if any. */
    private readonly madeParent: string | undefined,
    private readonly overwrite: boolean,
  ) {}

  /**
   * Makes the partial folder for `out`.
   * @throws UserError when `out` exists and may not be replaced, would touch the source, or cannot be made.
   */
  public static async create(
    out: string,
    sourceFolder: string,
    overwrite: boolean,
  ): Promise<OutputFolder> {
    const path = await requireOutput(out, sourceFolder, overwrite);
    const parent = dirname(path);
    const madeParent = await onPath(parent, async () => mkdir(parent, { recursive: true }));
    const partial = partialPath(path);
    try {
      await onPath(parent, async () => removeStale(path));
      await onPath(path, async () => mkdir(partial));
      return new OutputFolder(path, partial, madeParent, overwrite);
    } catch (error) {
      releaseHidden(partial);
      await removeEmptyParents(parent, madeParent);
      throw error;
    }
  }

  /** @throws UserError if the disk has less than `bytes` left */
  public async requireSpace(bytes: number): Promise<void> {
    const { bavail, bsize } = await onPath(this.path, async () => statfs(this.partial));
    const free = bavail * bsize;
    if (free < bytes) {
      throw new UserError(
        'disk-space-too-small',
        say`The result needs ${toMegabytes(bytes)}, but its disk has ${toMegabytes(free)} left.`,
        {
          file: this.path,
          remedy: say`Free some space or choose a folder on another disk. The source is untouched.`,
        },
      );
    }
  }

  /**
   * Moves the folder to its final path. An existing one is moved aside first and deleted last.
   * @throws UserError if a file or folder that must not be replaced was created there meanwhile
   */
  public async commit(warn: (message: Message) => void): Promise<void> {
    const parent = dirname(this.path);
    await refuseExisting(this.path, this.overwrite);
    await flushFolder(this.partial);
    const aside = (await exists(this.path))
      ? await onPath(this.path, async () => moveAside(this.path))
      : undefined;
    try {
      await onPath(this.path, async () => rename(this.partial, this.path));
    } catch (error) {
      if (aside !== undefined) {
        // If another result was created there meanwhile, that one replaces it.
        await restoreAside(aside, this.path).catch(() => undefined);
      }
      throw error;
    }
    releaseHidden(this.partial);
    await flushFolder(parent);
    if (aside !== undefined) {
      await keepSystemFiles(aside, this.path);
      await removeAside(aside).catch((error: unknown) => {
        warn(say`The replaced folder could not be deleted: ${(error as Error).message}.`);
      });
    }
    // Processes that were still ending at the start have ended by now.
    await removeStale(this.path).catch(() => undefined);
  }

  /**
   * Deletes everything created for this output after an error.
   * @returns the error, or an error about the conflict if another process deleted it
   */
  public async discard(error: unknown): Promise<unknown> {
    releaseHidden(this.partial);
    const isGone = !(error instanceof CancelledError) && !(await exists(this.partial));
    await rm(this.partial, { recursive: true, force: true });
    await removeEmptyParents(dirname(this.path), this.madeParent);
    return isGone
      ? new UserError(
          'output-deleted',
          say`The folder was deleted while the model was written to it.`,
          { file: this.path, remedy: say`Start the job again. The source is untouched.` },
        )
      : error;
  }
}

/**
 * Refuses a place for a result before any work is done for it.
 * @returns the place, links resolved
 * @throws UserError when `out` exists and may not be replaced, or would touch the source.
 */
export async function requireOutput(
  out: string,
  sourceFolder: string,
  overwrite: boolean,
): Promise<string> {
  const path = await resolveLinks(resolve(out));
  refuseSource(path, await realpath(sourceFolder));
  await refuseExisting(path, overwrite);
  return path;
}

function refuseSource(path: string, source: string): void {
  const refuse = (code: ErrorCode, problem: Message): never => {
    throw new UserError(code, problem, {
      file: path,
      remedy: say`Choose a folder next to the source model.`,
    });
  };
  if (path === source) {
    refuse('output-is-source', say`It is the source model itself, which is never changed.`);
  }
  if (isInside(path, source)) {
    refuse('output-inside-source', say`It is inside the source model, which is never changed.`);
  }
  if (isInside(source, path)) {
    refuse('output-contains-source', say`It contains the source model, which is never changed.`);
  }
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path;
}

async function refuseExisting(path: string, overwrite: boolean): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    return;
  }
  if (!found.isDirectory()) {
    throw new UserError('output-file-exists', say`A file with this name exists.`, {
      file: path,
      remedy: say`Choose another output folder.`,
    });
  }
  const entries = await onPath(path, async () => readdir(path, { withFileTypes: true }));
  if (entries.every(isSystemFile)) {
    return;
  }
  if (!overwrite) {
    throw new UserError('output-exists', say`The folder exists already.`, {
      file: path,
      remedy: say`Choose another output folder, or overwrite this one (--overwrite).`,
    });
  }
  const foreign = await onPath(path, async () => findForeignEntry(path));
  if (foreign !== undefined) {
    throw new UserError(
      'folder-foreign-files',
      say`The folder contains ${foreign}, which Espalier did not write, so it is not overwritten.`,
      {
        file: path,
        remedy: say`Choose another output folder, or move your files out of this one.`,
      },
    );
  }
}

/** Moves files of the operating system, such as `.DS_Store`, out of a folder before it is deleted. */
async function keepSystemFiles(from: string, to: string): Promise<void> {
  const entries = await readdir(from, { withFileTypes: true }).catch(() => []);
  for (const { name } of entries.filter(isSystemFile)) {
    await rename(join(from, name), join(to, name)).catch(() => undefined);
  }
}

/** Flushes the directory entries of a folder. Windows has no such call, so failing is ignored. */
async function flushFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined);
  try {
    await handle?.sync().catch(() => undefined);
  } finally {
    await handle?.close();
  }
}

function toMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`;
}

const manifest = v.object({ format: v.literal('espalier.manifest'), files: v.array(v.string()) });

/**
 * First entry of a folder, by name, that the manifest in it does not list: Espalier did not write it. Undefined if
 * Espalier wrote all of them. Files of the operating system don't count.
 */
async function findForeignEntry(folder: string): Promise<string | undefined> {
  const text = await readModelText(join(folder, manifestName)).catch(() => '');
  const parsed = v.safeParse(manifest, parseJsonOrUndefined(text));
  return foreignEntry(folder, '', new Set(parsed.success ? parsed.output.files : []));
}

/** @param prefix path of the folder that is read, with slashes, relative to the outermost one */
async function foreignEntry(
  folder: string,
  prefix: string,
  written: ReadonlySet<string>,
): Promise<string | undefined> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const others = entries.filter((entry) => !isSystemFile(entry));
  for (const entry of others.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = `${prefix}${entry.name}`;
    const below = `${name}/`;
    const isWritten = entry.isDirectory()
      ? [...written].some((file) => file.startsWith(below))
      : written.has(name);
    if (!isWritten) {
      return name;
    }
    const inner = entry.isDirectory() ? await foreignEntry(folder, below, written) : undefined;
    if (inner !== undefined) {
      return inner;
    }
  }
  return undefined;
}
