import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeStale } from '../../jobs/partial';
import { writeText } from '../../jobs/write-document';
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
   * @param onOther what happens where it holds the runs of another job; other content is never replaced
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
    try {
      await mkdir(path, { recursive: true });
    } catch (error) {
      throw new UserError(say`The folder cannot be made: ${(error as Error).message}.`, {
        file: path,
        remedy: say`Choose a folder that can be written to.`,
      });
    }
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
    await rm(this.path, { recursive: true, force: true }).catch(() => undefined);
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
  await rm(path, { recursive: true, force: true });
}

/** SHA-256 of numbers, to tell the examples and labels of one job from another's. */
export const digestOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
