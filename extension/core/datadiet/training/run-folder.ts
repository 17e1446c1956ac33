import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeWorkFolder, isSystemFile } from '../../jobs/work-folder';
import { isPartial, removeStale } from '../../jobs/partial';
import { writeText, onPath } from '../../jobs/write-document';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { readSmallText } from '../../regular-file';

const identityFile = 'training.json';
const format = 'espalier.training';

/** Folder with finished and partial runs, from which a job resumes. */
export class RunFolder {
  private constructor(public readonly path: string) {}

  /** Returns the folder of a job that is already identified. */
  public static of(path: string): RunFolder {
    return new RunFolder(path);
  }

  /**
   * Opens or creates the folder for the job that `identity` describes.
   * @param onOther action if it contains runs of another job; other files are never removed
   * @throws UserError if the folder can't be written, or belongs to another job and must not be replaced.
   */
  public static async open(
    path: string,
    identity: object,
    onOther: 'replace' | 'refuse',
  ): Promise<RunFolder> {
    const text = `${JSON.stringify({ format, ...identity }, undefined, 2)}\n`;
    const found = await readSmallText(join(path, identityFile)).catch(() => undefined);
    if (found !== text) {
      // A run may have been killed while writing this file; the folder may not exist.
      await removeStale(join(path, identityFile)).catch(() => undefined);
      await makeWay(path, found, onOther);
    }
    await (onOther === 'replace'
      ? makeWorkFolder(path)
      : onPath(path, async () => mkdir(path, { recursive: true })));
    if (found !== text) {
      await writeText(join(path, identityFile), text);
    }
    return new RunFolder(path);
  }

  public file(name: string): string {
    return join(this.path, name);
  }

  /** Path of a run's checkpoint. */
  public checkpoint(seed: number): string {
    return this.file(`seed-${seed}.safetensors`);
  }

  public record(seed: number, epoch: number): string {
    return this.file(`seed-${seed}-epoch-${epoch}.npz`);
  }

  /** Removes the files of a finished job. Failure is ignored. */
  public async remove(): Promise<void> {
    await removeRuns(this.path).catch(() => undefined);
  }
}

/** Removes the runs of another job if requested; rejects folders that Espalier didn't create. */
async function makeWay(
  path: string,
  found: string | undefined,
  onOther: 'replace' | 'refuse',
): Promise<void> {
  const content = await readdir(path).catch((): string[] => []);
  const isOurs = found?.includes(`"format": "${format}"`) === true;
  if (content.length === 0) {
    return;
  }
  if (!isOurs || onOther === 'refuse') {
    throw new UserError(
      isOurs ? 'folder-other-training' : 'folder-foreign',
      isOurs
        ? say`The folder contains the runs of another training.`
        : say`The folder contains other files.`,
      { file: path, remedy: say`Choose another folder, or remove this one.` },
    );
  }
  const foreign = await findForeignFile(path);
  if (foreign !== undefined) {
    throw new UserError(
      'folder-foreign-files',
      say`The folder contains ${foreign}, which Espalier did not write, so it is not replaced.`,
      { file: path, remedy: say`Choose another output, or move your files out of this folder.` },
    );
  }
  await removeRuns(path);
}

/** Names of files that runs write. */
const written =
  /^(?:training\.json|journal\.jsonl|seed-\d+(?:-epoch-\d+)?\.(?:json|safetensors|npz)|[0-9a-f]{16}\.safetensors)$/;
/** Names of subfolders with runs of one score, such as `el2n@20`. */
const inner = /^[a-z0-9-]+@\d+$/;

/** Splits the entries of a folder into those written by runs and others. Links are never written by runs. */
async function readEntries(path: string): Promise<{ own: Dirent[]; others: Dirent[] }> {
  const entries = await readdir(path, { withFileTypes: true });
  const isOwn = (entry: Dirent): boolean =>
    entry.isDirectory()
      ? inner.test(entry.name)
      : entry.isFile() && (written.test(entry.name) || isPartial(entry.name));
  return {
    own: entries.filter(isOwn),
    others: entries.filter((entry) => !isOwn(entry) && !isSystemFile(entry)),
  };
}

/** Relative path of the first file that no run has written. */
async function findForeignFile(path: string): Promise<string | undefined> {
  const { own, others } = await readEntries(path);
  const [first] = others;
  if (first !== undefined) {
    return first.name;
  }
  for (const { name } of own.filter((entry) => entry.isDirectory())) {
    const found = await findForeignFile(join(path, name));
    if (found !== undefined) {
      return `${name}/${found}`;
    }
  }
  return undefined;
}

/** Removes files written by runs, and the folder if nothing else remains. */
async function removeRuns(path: string): Promise<void> {
  const { own } = await readEntries(path);
  for (const entry of own) {
    const file = join(path, entry.name);
    await (entry.isDirectory() ? removeRuns(file) : rm(file, { force: true }));
  }
  // Files of the operating system describe the folder and are deleted with it.
  const left = await readdir(path, { withFileTypes: true });
  if (left.every(isSystemFile)) {
    await rm(path, { recursive: true, force: true });
  }
}

/** SHA-256 of numbers, to identify the examples and labels of a job. */
export const digestNumbers = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
