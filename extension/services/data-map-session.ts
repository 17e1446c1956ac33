import type { ChosenSubset, ExportJob, GalleryQuery, ToDataMap } from '../protocol/datamap';
import type { DataRequests } from '../protocol/data';
import type { DataMap, ScoredSource } from '../core/datadiet/scored-data';
import type { StoredMarks } from './data-marks';
import { Signal } from './signal';
import type { Refusal } from './trust';
import type { WorkerClient } from './worker-client';

/** What a session asks of the data reader. */
export type DataReader = Pick<WorkerClient<DataRequests>, 'request'>;

/** What a session keeps outside of itself. */
export interface DataMapEnvironment {
  /** What was marked in earlier windows. */
  readonly marks: StoredMarks | undefined;
  save(marks: StoredMarks): void;
  describeError(error: unknown): string;
  /** Why nothing can be written, if so. */
  blocked(): Refusal | undefined;
}

/** What is kept before the user chooses: half of every class, the hardest. */
const defaultSubset: ChosenSubset = {
  request: { keep: 0.5, policy: 'max', balanced: true, seed: 0 },
  leaveOutMarked: true,
};

/** Scores that are looked at: what is marked, and what is to be kept. */
export class DataMapSession {
  /** What a webview has to be told. */
  public readonly messages = new Signal<ToDataMap>();

  readonly #reader: DataReader;
  readonly #environment: DataMapEnvironment;
  /** Indices of one data set: another's are other examples. */
  #marks: { identity: string; indices: Set<number> };
  #source: ScoredSource;
  #opening: Promise<void> | undefined;
  #opened: ToDataMap | undefined;
  #map: DataMap | undefined;
  #subset: ChosenSubset | undefined;
  #export: ExportJob = { kind: 'idle' };
  /** Answers to earlier questions come too late. */
  #asked = 0;
  /** What is counted: a slider asks faster than a large data set answers. */
  #counting: 'no' | 'once' | 'again' = 'no';

  public constructor(reader: DataReader, source: ScoredSource, environment: DataMapEnvironment) {
    this.#reader = reader;
    this.#source = source;
    this.#environment = environment;
    const { identity = '', indices = [] } = environment.marks ?? {};
    this.#marks = { identity, indices: new Set(indices) };
  }

  public get source(): ScoredSource {
    return this.#source;
  }

  /** Undefined until it has been read, and where it cannot be. */
  public get map(): DataMap | undefined {
    return this.#map;
  }

  /** Marked examples, ascending. */
  public get marks(): readonly number[] {
    return [...this.#marks.indices].sort((a, b) => a - b);
  }

  /** What is kept; where labels are not known, classes cannot be balanced. */
  public get subset(): ChosenSubset {
    const { request, leaveOutMarked } = this.#subset ?? defaultSubset;
    const balanced = request.balanced && (this.#map?.overview.classes.length ?? 0) > 0;
    return { request: { ...request, balanced }, leaveOutMarked };
  }

  /** Reads the scores and their data set, again if they were read before. */
  public async open(): Promise<void> {
    this.#opening = this.#read();
    await this.#opening;
  }

  /** Resolves when the scores have been read, with or without success. */
  public async opened(): Promise<void> {
    await this.#opening;
  }

  /** Reads again with another data set. */
  public async chooseData(data: string): Promise<void> {
    this.#source = { ...this.#source, data };
    await this.open();
  }

  public get exportJob(): ExportJob {
    return this.#export;
  }

  /** Everything that is known, for a webview that has just been made. */
  public snapshot(): ToDataMap[] {
    return [
      this.#blockedMessage(),
      ...(this.#opened === undefined ? [] : [this.#opened]),
      { type: 'export', job: this.#export },
    ];
  }

  public refreshBlocked(): void {
    this.messages.fire(this.#blockedMessage());
  }

  /** Tells how far the writing of what was chosen is. */
  public setExport(job: ExportJob): void {
    this.#export = job;
    this.messages.fire({ type: 'export', job });
  }

  public mark(indices: readonly number[], marked: boolean): void {
    const examples = this.#map?.overview.examples ?? 0;
    for (const index of indices.filter((one) => one >= 0 && one < examples)) {
      if (marked) {
        this.#marks.indices.add(index);
      } else {
        this.#marks.indices.delete(index);
      }
    }
    this.#environment.save({ identity: this.#marks.identity, indices: this.marks });
    this.messages.fire({ type: 'marks', marks: this.marks });
    this.#remember();
    if (this.subset.leaveOutMarked) {
      void this.#count();
    }
  }

  /** Asks for a page of the gallery. */
  public async ask(query: GalleryQuery): Promise<void> {
    const number = ++this.#asked;
    const { marked, ...rest } = query;
    const among = marked ? { among: this.marks } : {};
    try {
      const page = await this.#reader.request('examples', {
        ...this.#source,
        query: { ...rest, ...among },
      });
      if (number === this.#asked) {
        this.messages.fire({ type: 'page', query, page });
      }
    } catch (error) {
      if (number === this.#asked) {
        const message = this.#environment.describeError(error);
        this.messages.fire({ type: 'pageFailed', message });
      }
    }
  }

  /** Changes what is kept, and tells how many examples that are. */
  public async chooseSubset(subset: ChosenSubset): Promise<void> {
    this.#subset = subset;
    await this.#count();
  }

  async #count(): Promise<void> {
    if (this.#counting !== 'no') {
      this.#counting = 'again';
      return;
    }
    this.#counting = 'once';
    const answer = await this.#counted();
    const again = (this.#counting as 'once' | 'again') === 'again';
    this.#counting = 'no';
    if (again) {
      await this.#count();
    } else {
      this.messages.fire(answer);
    }
  }

  async #counted(): Promise<ToDataMap> {
    try {
      const choice = this.choice();
      const counts = await this.#reader.request('count', { ...this.#source, choice });
      return { type: 'counts', counts };
    } catch (error) {
      return { type: 'countsFailed', message: this.#environment.describeError(error) };
    }
  }

  /** What is kept, with the marked examples named. */
  public choice(): DataRequests['count'][0]['choice'] {
    const { request, leaveOutMarked } = this.subset;
    return { request, leaveOut: leaveOutMarked ? this.marks : [] };
  }

  async #read(): Promise<void> {
    try {
      const map = await this.#reader.request('map', this.#source);
      this.#map = map;
      const { dataset, examples } = map.overview;
      const identity = dataset?.fingerprint ?? `${examples} examples`;
      if (identity !== this.#marks.identity) {
        this.#marks = { identity, indices: new Set() };
      }
      this.#remember();
    } catch (error) {
      this.#map = undefined;
      this.#opened = { type: 'failed', message: this.#environment.describeError(error) };
    }
    if (this.#opened !== undefined) {
      this.messages.fire(this.#opened);
    }
  }

  #remember(): void {
    if (this.#map !== undefined) {
      this.#opened = { type: 'map', source: this.#source, map: this.#map, marks: this.marks };
    }
  }

  #blockedMessage(): ToDataMap {
    const reason = this.#environment.blocked()?.reason;
    return reason === undefined ? { type: 'blocked' } : { type: 'blocked', reason };
  }
}
