import { batch, computed } from '@preact/signals-core';
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
import type { PanelJob } from '../../protocol/jobs';
import type { NewLabel } from '../../core/datadiet/subsets/selection-document';
import { similarities } from '../../protocol/datamap';
import type { ChosenSubset, DataMapState, GalleryQuery, LabelChange } from '../../protocol/datamap';
import type { StoredMarks } from './data-marks';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import { reactive } from './reactive';
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
  /** Reason why nothing can be written, or undefined. */
  blocked(): Refusal | undefined;
}

/** Default selection: half of every class, the hardest. */
const defaultSubset: ChosenSubset = {
  request: { keep: 0.5, policy: 'max', balanced: true, seed: 0 },
  leaveOutMarked: true,
  without: [],
  similarity: similarities.default,
};

/** Marked examples and new labels. */
interface Marks {
  readonly identity: string;
  readonly indices: ReadonlySet<number>;
  readonly labels: ReadonlyMap<number, string>;
}

/** Scores shown in a panel: marked examples, and the selection to keep. */
export class DataMapSession extends PanelSession<DataMapState> {
  protected readonly parts: Parts<DataMapState> = {
    scores: () => this.#state.source.scores,
    map: () => this.#state.map,
    data: () => this.#state.data,
    failure: () => this.#state.failure,
    marks: () => this.#marked.value,
    relabeled: () => this.#relabeled.value,
    job: () => this.#state.job,
    blocked: () => this.byTrust(() => this.#environment.blocked()?.reason),
  };

  readonly #state = reactive<{
    /** Indices are valid for one dataset only. */
    marks: Marks;
    source: ScoredSource;
    map: DataMap | undefined;
    data: MappedData | undefined;
    failure: string | undefined;
    job: PanelJob;
  }>({
    marks: { identity: '', indices: new Set(), labels: new Map() },
    source: { scores: '' },
    map: undefined,
    data: undefined,
    failure: undefined,
    job: { kind: 'idle' },
  });
  readonly #indices = computed(() => this.#state.marks.indices);
  readonly #labels = computed(() => this.#state.marks.labels);
  readonly #marked = computed(() => [...this.#indices.value].sort((a, b) => a - b));
  readonly #relabeled = computed(() =>
    [...this.#labels.value]
      .map(([index, label]) => ({ index, label }))
      .sort((a, b) => a.index - b.index),
  );
  readonly #reader: DataReader;
  readonly #environment: DataMapEnvironment;
  #opening: Promise<void> | undefined;
  #subset = defaultSubset;

  public constructor(reader: DataReader, source: ScoredSource, environment: DataMapEnvironment) {
    super();
    this.#reader = reader;
    this.#state.source = source;
    this.#environment = environment;
    const { identity = '', indices = [], relabeled = [] } = environment.marks ?? {};
    const labels = new Map(relabeled.map(({ index, label }) => [index, label]));
    this.#state.marks = { identity, indices: new Set(indices), labels };
  }

  public get source(): ScoredSource {
    return this.#state.source;
  }

  /** Undefined until it has been read, or if it cannot be read. */
  public get map(): DataMap | undefined {
    return this.#state.map;
  }

  /** The dataset; undefined until it is open. */
  public get data(): MappedData | undefined {
    return this.#state.data;
  }

  /** Marked examples, ascending. */
  public get marks(): readonly number[] {
    return this.#marked.value;
  }

  /** New labels, ascending by example. */
  public get relabeled(): readonly NewLabel[] {
    return this.#relabeled.value;
  }

  /** The selection to keep. Classes can't be balanced if labels are unknown. */
  public get subset(): ChosenSubset {
    const { request, without, ...others } = this.#subset;
    const { classes = [], issues = {} } = this.#state.map?.overview ?? {};
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

  public get job(): PanelJob {
    return this.#state.job;
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

  /** Reloads with another dataset. */
  public async chooseData(data: string): Promise<void> {
    this.#state.source = { ...this.#state.source, data };
    await this.open();
  }

  /** Updates the progress of the export. */
  public setJob(job: PanelJob): void {
    this.#state.job = job;
  }

  public mark(indices: readonly number[], marked: boolean): void {
    const examples = this.#state.map?.overview.examples ?? 0;
    const known = new Set(this.#state.marks.indices);
    for (const index of indices.filter((one) => one < examples)) {
      if (marked) {
        known.add(index);
      } else {
        known.delete(index);
      }
    }
    this.#save({ indices: known });
  }

  /** Assigns new classes to examples, or restores the original ones. */
  public relabel(changes: readonly LabelChange[]): void {
    const { examples = 0, classes = [] } = this.#state.map?.overview ?? {};
    const labels = new Map(this.#state.marks.labels);
    for (const { index, label } of changes.filter((one) => one.index < examples)) {
      if (label === undefined) {
        labels.delete(index);
      } else if (classes.some(({ name }) => name === label)) {
        labels.set(index, label);
      }
    }
    this.#save({ labels });
  }

  public forgetLabels(): void {
    this.#save({ labels: new Map() });
  }

  #save(changed: Partial<Marks>): void {
    this.#state.marks = { ...this.#state.marks, ...changed };
    const { identity } = this.#state.marks;
    this.#environment.save({ identity, indices: this.marks, relabeled: this.relabeled });
  }

  /** A page of the gallery. */
  public async examples({ marked, relabeled, ...query }: GalleryQuery): Promise<ExamplePage> {
    const { indices, labels } = this.#state.marks;
    const among = relabeled
      ? { among: [...labels.keys()].filter((index) => !marked || indices.has(index)) }
      : marked
        ? { among: this.marks }
        : {};
    return this.#reader.request('examples', {
      ...this.#state.source,
      query: { ...query, ...among },
    });
  }

  public async details(index: number, similarity: number): Promise<ExampleDetails> {
    return this.#reader.request('details', { ...this.#state.source, index, similarity });
  }

  /** Changes what is kept, and counts how many examples that are. */
  public async choose(subset: ChosenSubset): Promise<ChoiceCounts> {
    this.#subset = subset;
    return this.#reader.request('count', { ...this.#state.source, choice: this.choice });
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
    const source = this.#state.source;
    const isReplaced = (): boolean => source !== this.#state.source;
    this.#state.data = undefined;
    try {
      const scores = await this.#reader.request('map', source);
      if (isReplaced()) {
        return;
      }
      batch(() => {
        this.#setMap(scores);
        this.#state.failure = undefined;
      });
      const { data, map } = await this.#reader.request('data', source);
      if (isReplaced()) {
        return;
      }
      batch(() => {
        this.#state.data = this.#told(data);
        if (map !== undefined) {
          this.#setMap(map);
        }
      });
    } catch (error) {
      if (isReplaced()) {
        return;
      }
      const failure = this.#environment.describeError(error);
      batch(() => Object.assign(this.#state, { map: undefined, failure }));
    }
  }

  #setMap(map: DataMap): void {
    this.#state.map = this.#told(map);
    const { dataset, examples } = map.overview;
    const identity = dataset?.fingerprint ?? `${examples} examples`;
    if (identity !== this.#state.marks.identity) {
      this.#state.marks = { identity, indices: new Set(), labels: new Map() };
    }
  }
}
