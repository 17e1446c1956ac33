import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { openSafetensors } from '../../checkpoints/safetensors';
import type { TensorData } from '../../checkpoints/lazy-tensor';
import { makeWorkFolder } from '../../jobs/work-folder';
import { Journal } from '../../jobs/journal';
import { describeEncoding, encodingSpec } from '../../models/encodings/encoding-spec';
import { storeEncodings } from '../../models/encodings/store-encodings';
import { findEncoding } from '../../models/encodings/stored-encodings';
import type { MatrixEncoding, ModelMatrix } from '../../models/matrix-encoding';
import { mpoRunChoiceSchema } from '../../tensornet/costs/machine-costs';
import type { MpoRunChoice } from '../../tensornet/costs/machine-costs';

/** Facts about a compressed layer besides its tensors. */
export interface LayerRecord {
  /** Id of the layer. */
  readonly tensor: string;
  readonly method: string;
  readonly setting: number;
  readonly variant: string;
  readonly then?: string | undefined;
  /** Id of the tied embedding, if a head shares it and needs no bytes of its own. */
  readonly tiedTo?: string;
  readonly parameters: number;
  readonly bytes: number;
  /** ‖W − W′‖ / ‖W‖ (Frobenius). */
  readonly error: number;
  /** Error of the outputs on calibration text, if there is any. */
  readonly outputError?: number | undefined;
  /** Selected execution of a matrix product operator and the costs of both, if costs decided. */
  readonly mpoRun?: MpoRunChoice | undefined;
}

/** Layer in its new encoding. */
export interface CompressedLayer {
  readonly record: LayerRecord;
  readonly form: MatrixEncoding;
}

const entrySchema = v.object({
  tensor: v.string(),
  method: v.string(),
  setting: v.number(),
  variant: v.string(),
  then: v.optional(v.string()),
  parameters: v.number(),
  bytes: v.number(),
  error: v.number(),
  outputError: v.optional(v.number()),
  mpoRun: v.optional(mpoRunChoiceSchema),
  spec: encodingSpec,
  file: v.pipe(v.string(), v.regex(/^\d+\.safetensors$/)),
});
type Entry = v.InferOutput<typeof entrySchema>;

/**
 * Computed encodings, each in its own file in a folder next to the result, and the journal that
 * lists them: a stopped job resumes after the last of them.
 */
export class FormStore {
  private readonly entries = new Map<string, Entry>();

  private constructor(
    private readonly folder: string,
    private readonly journal: Journal<Entry>,
  ) {
    for (const entry of journal.replayed.filter(({ file }) => existsSync(join(folder, file)))) {
      this.entries.set(entry.tensor, entry);
    }
  }

  /**
   * Opens the store of the job with this `identity`; work of other jobs is deleted.
   * @throws UserError if the folder can't be written
   */
  public static async open(folder: string, identity: string): Promise<FormStore> {
    await makeWorkFolder(folder);
    const path = join(folder, 'journal.jsonl');
    const journal = await Journal.open(path, identity, (value) => {
      const result = v.safeParse(entrySchema, value);
      return result.success ? result.output : undefined;
    });
    return new FormStore(folder, journal);
  }

  public has(id: string): boolean {
    return this.entries.has(id);
  }

  public async add(record: LayerRecord, form: MatrixEncoding<TensorData>): Promise<void> {
    const file = `${this.entries.size}.safetensors`;
    await storeEncodings(join(this.folder, file), new Map([[record.tensor, form]]));
    const entry = { ...record, spec: describeEncoding(form), file };
    await this.journal.append([entry]);
    this.entries.set(record.tensor, entry);
  }

  /** The form of a layer that {@link has} is true of. */
  public async read(layer: ModelMatrix): Promise<CompressedLayer> {
    const entry = this.entries.get(layer.id);
    if (entry === undefined) {
      throw new Error(`${layer.id} has not been compressed yet`);
    }
    const { spec, file, ...record } = entry;
    const { tensors } = await openSafetensors(join(this.folder, file));
    const form = findEncoding(`${layer.id}.weight`, spec, layer, (name) => {
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        throw new Error(`${file} lacks ${name}, which the journal says it holds`);
      }
      return tensor;
    });
    return { record, form };
  }

  /** Deletes everything: the result has been written, so that what cannot be deleted is no reason to fail. */
  public async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true }).catch(() => undefined);
  }

  /** Deletes the folder if it contains nothing to resume. */
  public async removeIfEmpty(): Promise<void> {
    if (this.entries.size === 0) {
      await this.remove();
    }
  }
}
