import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeWorkFolder } from '../../jobs/make-work-folder';
import { isPartial, removeStale } from '../../jobs/partial';
import { isSystemFile } from '../../jobs/system-file';
import { writeText } from '../../jobs/write-document';
import { onPath } from '../../jobs/write-errors';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { readSmallText } from '../../regular-file';

const identityFile = 'training.json';
const format = 'espalier.training';

/** A folder that keeps what finished and half-finished runs have left, so that a job can go on. */
export class RunFolder {
  private constructor(public readonly path: string) {}

  /** A folder of a job that has been told already. */
  public static of(path: string): RunFolder {
    return new RunFolder(path);
  }

  /**
   * Opens or makes the folder for the job that `identity` describes.
   * @param onOther what happens to the runs of another job in it; nothing else in it is ever removed
   * @throws UserError when the folder cannot be written to, or is another job's that is not to be replaced.
   */
  public static async open(
    path: string,
    identity: object,
    onOther: 'replace' | 'refuse',
  ): Promise<RunFolder> {
    const text = `${JSON.stringify({ format, ...identity }, undefined, 2)}\n`;
    const found = await readSmallText(join(path, identityFile)).catch(() => undefined);
    if (found !== text) {
      // A run may have been killed while it wrote this file; the folder may not be there.
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

  /** Checkpoint of a run. */
  public checkpoint(seed: number): string {
    return this.file(`seed-${seed}.safetensors`);
  }

  public record(seed: number, epoch: number): string {
    return this.file(`seed-${seed}-epoch-${epoch}.npz`);
  }

  /** All is done; nothing is left to go on with. One that cannot be removed is no reason to fail. */
  public async remove(): Promise<void> {
    await removeRuns(this.path).catch(() => undefined);
  }
}

/** Removes the runs of another job where that is wanted, and refuses a folder that is none of ours. */
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
      isOurs
        ? say`The folder holds the runs of another training.`
        : say`The folder contains other files.`,
      { file: path, remedy: say`Choose another folder, or remove this one.` },
    );
  }
  const foreign = await findForeignFile(path);
  if (foreign !== undefined) {
    throw new UserError(
      say`The folder contains ${foreign}, which Espalier did not write, so it is not replaced.`,
      { file: path, remedy: say`Choose another output, or move your files out of this folder.` },
    );
  }
  await removeRuns(path);
}

/** Names of files that runs write. */
const written =
  /^(?:training\.json|journal\.jsonl|seed-\d+(?:-epoch-\d+)?\.(?:json|safetensors|npz)|[0-9a-f]{16}\.safetensors)$/;
/** Names of the folders with runs of their own, one for each score: `el2n@20`. */
const inner = /^[a-z0-9-]+@\d+$/;

/** Entries of a folder of runs: those that runs have written, and others. A link is nothing that they write. */
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

/** First file, by its path in the folder, that no run has written. */
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

/** Removes what runs have written, and the folder if nothing else is in it. */
async function removeRuns(path: string): Promise<void> {
  const { own } = await readEntries(path);
  for (const entry of own) {
    const file = join(path, entry.name);
    await (entry.isDirectory() ? removeRuns(file) : rm(file, { force: true }));
  }
  // Files of the operating system describe the folder, and are deleted with it.
  const left = await readdir(path, { withFileTypes: true });
  if (left.every(isSystemFile)) {
    await rm(path, { recursive: true, force: true });
  }
}

/** SHA-256 of numbers, to tell the examples and labels of one job from another's. */
export const digestOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
