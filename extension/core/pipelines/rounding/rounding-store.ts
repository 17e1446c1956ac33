import { existsSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { Journal } from '../../jobs/journal';
import { makeWorkFolder } from '../../jobs/work-folder';
import { onPath } from '../../jobs/write-document';

const entrySchema = v.object({ tensors: v.array(v.string()) });
type Entry = v.InferOutput<typeof entrySchema>;

/**
 * Rounded tensors of a job in a folder next to the result, and the journal that lists them: a stopped job resumes after
 * the last sublayer.
 */
export class RoundingStore {
  private readonly done: Set<string>;

  private constructor(
    public readonly folder: string,
    private readonly journal: Journal<Entry>,
  ) {
    const entries = existsSync(this.path) ? journal.replayed : [];
    this.done = new Set(entries.flatMap(({ tensors }) => tensors));
  }

  /** File with the rows of all tensors. */
  public get path(): string {
    return join(this.folder, 'rounded');
  }

  /**
   * Opens the store of the job that `identity` describes; the tensors of another job are overwritten.
   * @throws UserError if the folder can't be written
   */
  public static async open(folder: string, identity: unknown): Promise<RoundingStore> {
    await makeWorkFolder(folder);
    const journal = await Journal.open(
      join(folder, 'journal.jsonl'),
      JSON.stringify(identity),
      (value) => (v.is(entrySchema, value) ? value : undefined),
    );
    return new RoundingStore(folder, journal);
  }

  public has(id: string): boolean {
    return this.done.has(id);
  }

  /** Opens the file for writing and keeps the tensors that are done. */
  public async openFile(): Promise<FileHandle> {
    return onPath(this.path, async () => open(this.path, this.done.size === 0 ? 'w' : 'r+'));
  }

  /** Records tensors whose bytes have been written to `file`. */
  public async add(ids: readonly string[], file: FileHandle): Promise<void> {
    await onPath(this.path, async () => file.datasync());
    await this.journal.append([{ tensors: [...ids] }]);
    for (const id of ids) {
      this.done.add(id);
    }
  }

  /** Deletes everything after the result has been written; failure is ignored. */
  public async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true }).catch(() => undefined);
  }

  /** Deletes the folder if nothing in it can be resumed. */
  public async removeIfEmpty(): Promise<void> {
    if (this.done.size === 0) {
      await this.remove();
    }
  }
}
