import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { openSafetensors } from '../../checkpoints/safetensors';
import { makeWorkFolder } from '../../jobs/make-work-folder';
import { Journal } from '../../jobs/journal';
import { mapTensors } from '../../models/forms/form-facts';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { storeRepaired } from './trainable-encoding';
import type { NumbersByName } from './trainable-encoding';

/** What became of one sublayer. */
export interface SliceRecord {
  /** Id of the student's sublayer. */
  readonly sublayer: string;
  /** Whether its new numbers were better and are kept. */
  readonly repaired: boolean;
  /** Mean of ‖ŷ − y‖² / ‖y‖² of the stream behind it over the tokens of held-out text. */
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly epochs: number;
  /** Whether training ended in numbers that are not finite; what was best before is kept. */
  readonly diverged: boolean;
}

const recordSchema = v.object({
  sublayer: v.string(),
  repaired: v.boolean(),
  errorBefore: v.number(),
  errorAfter: v.number(),
  epochs: v.number(),
  diverged: v.boolean(),
});

/** Files that training of the full model is kept in. */
export interface TrainingFiles {
  readonly current: string;
  /** With the lowest held-out loss. */
  readonly best: string;
}

/**
 * Sublayers that are done: their records in a journal, their repaired forms in files beside it, so that a
 * job that was stopped goes on behind the last of them.
 */
export class RepairStore {
  public readonly training: TrainingFiles;
  private readonly records = new Map<string, SliceRecord>();

  private constructor(
    private readonly folder: string,
    identity: string,
    private readonly journal: Journal<SliceRecord>,
  ) {
    // A journal of another job is replaced; files are told apart by their names.
    const of = (part: string): string =>
      join(folder, `${part}-${identity.slice(0, 16)}.safetensors`);
    this.training = { current: of('model'), best: of('model-best') };
    for (const record of journal.replayed) {
      if (!record.repaired || existsSync(this.fileOf(record.sublayer))) {
        this.records.set(record.sublayer, record);
      }
    }
  }

  /**
   * Opens the store of the job that `identity` describes, in hexadecimal digits.
   * @throws UserError when the folder cannot be written to.
   */
  public static async open(folder: string, identity: string): Promise<RepairStore> {
    await makeWorkFolder(folder);
    const journal = await Journal.open(join(folder, 'journal.jsonl'), identity, (value) => {
      const result = v.safeParse(recordSchema, value);
      return result.success ? result.output : undefined;
    });
    return new RepairStore(folder, identity, journal);
  }

  public recordOf(sublayer: string): SliceRecord | undefined {
    return this.records.get(sublayer);
  }

  /** Keeps a record and, where it was repaired, its forms with the numbers that they have now. */
  public async add(
    record: SliceRecord,
    forms: ReadonlyMap<string, MatrixEncoding>,
    numbersOf: NumbersByName,
  ): Promise<void> {
    if (record.repaired) {
      await storeRepaired(this.fileOf(record.sublayer), forms, numbersOf);
    }
    await this.journal.append([record]);
    this.records.set(record.sublayer, record);
  }

  /** The repaired forms of a sublayer, laid out as those that they take the place of. */
  public async formsOf(
    sublayer: string,
    before: ReadonlyMap<string, MatrixEncoding>,
  ): Promise<Map<string, MatrixEncoding>> {
    const file = this.fileOf(sublayer);
    const { tensors } = await openSafetensors(file);
    return new Map(
      [...before].map(([id, form]) => [
        id,
        mapTensors(form, (_, part) => {
          const tensor = tensors.get(`${id}.${part}`);
          if (tensor === undefined) {
            throw new Error(`${file} lacks ${id}.${part}`);
          }
          return tensor;
        }),
      ]),
    );
  }

  /** Deletes everything: the result has been written. */
  public async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true }).catch(() => undefined);
  }

  /** Deletes the folder if nothing in it can be gone on with. */
  public async removeIfEmpty(): Promise<void> {
    if (this.records.size === 0 && !existsSync(this.training.current)) {
      await this.remove();
    }
  }

  private fileOf(sublayer: string): string {
    return join(this.folder, `${sublayer}.safetensors`);
  }
}
