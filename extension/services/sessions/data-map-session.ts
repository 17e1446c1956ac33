import type { Choice } from '../../core/datadiet/choose-examples';
import type {
  ChoiceCounts,
  DataMap,
  ExampleDetails,
  ExamplePage,
  MappedData,
  ScoredSource,
} from '../../core/datadiet/scores/scored-data';
import type { DataRequests } from '../../protocol/data';
import type { NewLabel } from '../../core/datadiet/subsets/selection-document';
import { similarities } from '../../protocol/datamap';
import type {
  ChosenSubset,
  DataMapState,
  ExportJob,
  GalleryQuery,
  LabelChange,
} from '../../protocol/datamap';
import type { StoredMarks } from './data-marks';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import type { Refusal } from '../trust';
import type { WorkerClient } from '../worker/worker-client';
import { verbatim } from '../../core/message';
import type { Message } from '../../core/message';

/** Client of the data reader. */
export type DataReader = Pick<WorkerClient<DataRequests>, 'request'>;

/** Dependencies of a session. */
export interface DataMapEnvironment {
  /** Marks from earlier windows. */
  readonly marks: StoredMarks | undefined;
  save(marks: StoredMarks): void;
  readonly describeError: (error: unknown) => string;
  /** Reason why nothing can be written, if any. */
  blocked(): Refusal | undefined;
}

/** Default selection: half of every class, the hardest. */
const defaultSubset: ChosenSubset = {
  request: { keep: 0.5, policy: 'max', balanced: true, seed: 0 },
  leaveOutMarked: true,
  without: [],
  similarity: similarities.default,
};

/** Scores shown in a panel: marked examples, and the selection to keep. */
export class DataMapSession extends PanelSession<DataMapState> {
  protected readonly parts: Parts<DataMapState> = {
    scores: () => this.#source.scores,
    map: () => this.#map,
    data: () => this.#data,
    failure: () => this.#failure,
    marks: () => this.marks,
    relabeled: () => this.relabeled,
    job: () => this.#job,
    blocked: () => this.#environment.blocked()?.reason,
  };

  readonly #reader: DataReader;
  readonly #environment: DataMapEnvironment;
  /** Indices of one dataset; they mean other examples in another. */
  #marks: { identity: string; indices: Set<number>; labels: Map<number, string> };
  #source: ScoredSource;
  #opening: Promise<void> | undefined;
  #map: DataMap | undefined;
  #data: MappedData | undefined;
  #failure: string | undefined;
  #subset = defaultSubset;
  #job: ExportJob = { kind: 'idle' };

  public constructor(reader: DataReader, source: ScoredSource, environment: DataMapEnvironment) {
    super();
    this.#reader = reader;
    this.#source = source;
    this.#environment = environment;
    const { identity = '', indices = [], relabeled = [] } = environment.marks ?? {};
    const labels = new Map(relabeled.map(({ index, label }) => [index, label]));
    this.#marks = { identity, indices: new Set(indices), labels };
  }

  public get source(): ScoredSource {
    return this.#source;
  }

  /** Undefined until it has been read, or if it cannot be read. */
  public get map(): DataMap | undefined {
    return this.#map;
  }

  /** The dataset; undefined until it is open. */
  public get data(): MappedData | undefined {
    return this.#data;
  }

  /** Marked examples, ascending. */
  public get marks(): readonly number[] {
    return [...this.#marks.indices].sort((a, b) => a - b);
  }

  /** New labels, ascending by example. */
  public get relabeled(): readonly NewLabel[] {
    return [...this.#marks.labels]
      .map(([index, label]) => ({ index, label }))
      .sort((a, b) => a.index - b.index);
  }

  /** The selection to keep. Classes can't be balanced if labels are unknown. */
  public get subset(): ChosenSubset {
    const { request, without, ...others } = this.#subset;
    const { classes = [], issues = {} } = this.#map?.overview ?? {};
    const balanced = request.balanced && classes.length > 0;
    const known = without.filter((kind) => issues[kind] !== undefined);
    return { ...others, request: { ...request, balanced }, without: known };
  }

  /** The examples that are kept, with the marked ones named. */
  public get choice(): Choice {
    const { request, leaveOutMarked, without, similarity } = this.subset;
    const leaveOut = leaveOutMarked ? this.marks : [];
    return { request, leaveOut, without, similarity, relabeled: this.relabeled };
  }

  public get job(): ExportJob {
    return this.#job;
  }

  /** Reads the scores and their dataset, again if they were read before. */
  public async open(): Promise<void> {
    this.#opening = this.#read();
    await this.#opening;
  }

  /** Resolves when the scores have been read, with or without success. */
  public async opened(): Promise<void> {
    await this.#opening;
  }

  /** Reads again with another dataset. */
  public async chooseData(data: string): Promise<void> {
    this.#source = { ...this.#source, data };
    await this.open();
  }

  public refreshBlocked(): void {
    this.tell('blocked');
  }

  /** Tells how far the writing of what was chosen is. */
  public setJob(job: ExportJob): void {
    this.#job = job;
    this.tell('job');
  }

  public mark(indices: readonly number[], marked: boolean): void {
    const examples = this.#map?.overview.examples ?? 0;
    for (const index of indices.filter((one) => one < examples)) {
      if (marked) {
        this.#marks.indices.add(index);
      } else {
        this.#marks.indices.delete(index);
      }
    }
    this.#save('marks');
  }

  /** Gives examples other classes, or takes that back. */
  public relabel(changes: readonly LabelChange[]): void {
    const { examples = 0, classes = [] } = this.#map?.overview ?? {};
    for (const { index, label } of changes.filter((one) => one.index < examples)) {
      if (label === undefined) {
        this.#marks.labels.delete(index);
      } else if (classes.some(({ name }) => name === label)) {
        this.#marks.labels.set(index, label);
      }
    }
    this.#save('relabeled');
  }

  public forgetLabels(): void {
    this.#marks.labels.clear();
    this.#save('relabeled');
  }

  #save(changed: 'marks' | 'relabeled'): void {
    const { identity } = this.#marks;
    const [indices, relabeled] = [this.marks, this.relabeled];
    this.#environment.save({ identity, indices, relabeled });
    this.tell(changed);
  }

  /** A page of the gallery. */
  public async examples({ marked, relabeled, ...query }: GalleryQuery): Promise<ExamplePage> {
    const { indices, labels } = this.#marks;
    const among = relabeled
      ? { among: [...labels.keys()].filter((index) => !marked || indices.has(index)) }
      : marked
        ? { among: this.marks }
        : {};
    return this.#reader.request('examples', { ...this.#source, query: { ...query, ...among } });
  }

  public async details(index: number, similarity: number): Promise<ExampleDetails> {
    return this.#reader.request('details', { ...this.#source, index, similarity });
  }

  /** Changes what is kept, and counts how many examples that are. */
  public async choose(subset: ChosenSubset): Promise<ChoiceCounts> {
    this.#subset = subset;
    return this.#reader.request('count', { ...this.#source, choice: this.choice });
  }

  /** The data reader's messages, described in the editor's language. */
  #told<Part extends { readonly problem?: Message; readonly warnings: readonly Message[] }>(
    part: Part,
  ): Part {
    const { problem, warnings } = part;
    const toVerbatim = (message: Message): Message =>
      verbatim(this.#environment.describeError(message));
    return {
      ...part,
      ...(problem === undefined ? {} : { problem: toVerbatim(problem) }),
      warnings: warnings.map(toVerbatim),
    };
  }

  /** Shows the scores before their dataset is open, which takes longer. */
  async #read(): Promise<void> {
    const source = this.#source;
    const isReplaced = (): boolean => source !== this.#source;
    this.#data = undefined;
    try {
      const scores = await this.#reader.request('map', source);
      if (isReplaced()) {
        return;
      }
      this.#setMap(scores);
      this.#failure = undefined;
      this.tell('map', 'data', 'failure', 'marks', 'relabeled');
      const { data, map } = await this.#reader.request('data', source);
      if (isReplaced()) {
        return;
      }
      this.#data = this.#told(data);
      if (map !== undefined) {
        this.#setMap(map);
        this.tell('map', 'marks', 'relabeled');
      }
      this.tell('data');
    } catch (error) {
      if (isReplaced()) {
        return;
      }
      this.#map = undefined;
      this.#failure = this.#environment.describeError(error);
      this.tell('map', 'data', 'failure', 'marks', 'relabeled');
    }
  }

  #setMap(map: DataMap): void {
    this.#map = this.#told(map);
    const { dataset, examples } = map.overview;
    const identity = dataset?.fingerprint ?? `${examples} examples`;
    if (identity !== this.#marks.identity) {
      this.#marks = { identity, indices: new Set(), labels: new Map() };
    }
  }
}
