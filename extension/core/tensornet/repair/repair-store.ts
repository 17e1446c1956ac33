import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { openSafetensors } from '../../checkpoints/safetensors';
import { makeWorkFolder } from '../../jobs/work-folder';
import { Journal } from '../../jobs/journal';
import { mapTensors } from '../../models/encodings/encoding-facts';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { storeRepaired } from './trainable-encoding';
import type { NumbersByName } from './trainable-encoding';

/** Result of repairing one sublayer. */
export interface SliceRecord {
  /** Id of the student's sublayer. */
  readonly sublayer: string;
  /** True if its new values were better and are used. */
  readonly repaired: boolean;
  /** Mean of ‖ŷ − y‖² / ‖y‖² of the residual stream after it, over the tokens of held-out text. */
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly epochs: number;
  /** True if training ended with values that aren't finite; the best earlier values are used. */
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

/** Checkpoint files of training the full model. */
export interface TrainingFiles {
  readonly current: string;
  /** Checkpoint with the lowest held-out loss. */
  readonly best: string;
}

/**
 * Finished sublayers: records in a journal, with the repaired encodings in files next to it, so that a stopped job can
 * resume after the last one.
 */
export class RepairStore {
  public readonly training: TrainingFiles;
  private readonly records = new Map<string, SliceRecord>();

  private constructor(
    private readonly folder: string,
    identity: string,
    private readonly journal: Journal<SliceRecord>,
  ) {
    // The journal of another job is replaced; files of different jobs have different names.
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
   * @throws UserError if the folder isn't writable
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

  /** Stores a record and, if the sublayer was repaired, its encodings with their current values. */
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

  /** Repaired encodings of a sublayer, with the layout of those that they replace. */
  public async loadForms(
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

  /** Deletes everything after the result has been written. */
  public async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true }).catch(() => undefined);
  }

  /** Deletes the folder if it contains nothing to resume from. */
  public async removeIfEmpty(): Promise<void> {
    if (this.records.size === 0 && !existsSync(this.training.current)) {
      await this.remove();
    }
  }

  private fileOf(sublayer: string): string {
    return join(this.folder, `${sublayer}.safetensors`);
  }
}
