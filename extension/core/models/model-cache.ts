import { locateModel, locateOnnx, modelStamp } from '../checkpoints/model-folder';
import { openModelFiles } from './open-model';
import type { OpenedModel } from './opened-model';

/** Opens a model, or returns the open one. */
export type OpenModel = (path: string) => Promise<OpenedModel>;

interface Entry {
  readonly opened: Promise<OpenedModel>;
  /** Fingerprint of the files when they were read; undefined while reading. */
  stamp?: string;
  files: readonly string[];
}

export interface ModelCacheOptions {
  /** Most models that are kept: those asked for last. */
  readonly capacity: number;
  readonly open?: OpenModel;
}

/** Opened models by path, read again when one of their files changes. Failures are not kept. */
export class ModelCache {
  /** The one asked for last at the end. */
  readonly #entries = new Map<string, Entry>();
  readonly #options: Required<ModelCacheOptions>;
  #reads = 0;

  public constructor({ capacity, open = openModelFiles }: ModelCacheOptions) {
    this.#options = { capacity, open };
  }

  /** Number of times that the files of a model have been read. */
  public get reads(): number {
    return this.#reads;
  }

  /**
   * Opens the model at a path, which may also be a file in its folder. Concurrent calls share one read.
   * @throws UserError if a file is missing, damaged or unsupported
   */
  public async open(path: string): Promise<OpenedModel> {
    const place = (await locateOnnx(path)) ?? (await locateModel(path)).path;
    const known = this.#entries.get(place);
    const isCurrent = known !== undefined && (await isUnchanged(place, known));
    // Somebody else may have begun to read it meanwhile.
    const latest = this.#entries.get(place);
    const entry = isCurrent ? known : latest === known ? this.#read(place) : latest;
    return this.#use(place, entry ?? this.#read(place)).opened;
  }

  #read(place: string): Entry {
    this.#reads++;
    const entry: Entry = {
      opened: this.#open(place, (read) => Object.assign(entry, read)),
      files: [],
    };
    entry.opened.catch(() => {
      if (this.#entries.get(place) === entry) {
        this.#entries.delete(place);
      }
    });
    return entry;
  }

  /** Opens a model, and records its stamp before the caller continues. */
  async #open(
    place: string,
    tell: (read: Required<Pick<Entry, 'stamp' | 'files'>>) => void,
  ): Promise<OpenedModel> {
    const before = await modelStamp(place);
    const opened = await this.#options.open(place);
    const stamp = await modelStamp(place, opened.files);
    // Files that changed during reading are read again by the next request.
    const isSame = before === (await modelStamp(place));
    tell({ files: opened.files, stamp: isSame ? stamp : '' });
    return opened;
  }

  #use(place: string, entry: Entry): Entry {
    this.#entries.delete(place);
    this.#entries.set(place, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#options.capacity && oldest !== undefined) {
      this.#entries.delete(oldest);
    }
    return entry;
  }
}

async function isUnchanged(place: string, { stamp, files }: Entry): Promise<boolean> {
  return stamp === undefined || stamp === (await modelStamp(place, files));
}
