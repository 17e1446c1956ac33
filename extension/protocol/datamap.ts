import {
  array,
  boolean,
  exactOptional,
  gtValue,
  integer,
  maxValue,
  minValue,
  number,
  object,
  picklist,
  pipe,
  string,
  tuple,
} from 'valibot';
import type { ExampleOrder, ExampleQuery } from '../core/datadiet/subsets/find-examples';
import type { IssueKind } from '../core/datadiet/neighbors/issue-kinds';
import type {
  ChoiceCounts,
  DataMap,
  ExampleDetails,
  ExamplePage,
  MappedData,
} from '../core/datadiet/scores/scored-data';
import type { NewLabel } from '../core/datadiet/subsets/selection-document';
import type { Policy, SelectionRequest } from '../core/datadiet/subsets/selection';
import type { PanelJob } from './jobs';
import type { CallSchemas } from './panel';

export const orders = [
  'hardest',
  'easiest',
  'ambiguous',
  'suspicious',
  'duplicates',
  'outlying',
  'stored',
] as const satisfies readonly ExampleOrder[];
export const issueKinds = [
  'suspected',
  'duplicates',
  'outliers',
] as const satisfies readonly IssueKind[];
/** Range and default of the cosine similarity from which examples count as duplicates. */
export const similarities = { least: 0.9, most: 1, default: 0.995, step: 0.005 } as const;
export const policies = ['max', 'window', 'random'] as const satisfies readonly Policy[];

/** Query of the gallery; the host knows marked and relabeled examples. */
export type GalleryQuery = Omit<ExampleQuery, 'among'> & {
  readonly marked: boolean;
  readonly relabeled: boolean;
};

/** Selection policy of the subset to keep. */
export interface ChosenSubset {
  readonly request: SelectionRequest;
  /** Marked examples are not kept. */
  readonly leaveOutMarked: boolean;
  /** Issues whose examples are excluded, if known. */
  readonly without: readonly IssueKind[];
  readonly similarity: number;
}

/** A new class of an example by its name; undefined if it has its own again. */
export interface LabelChange {
  readonly index: number;
  readonly label?: string;
}

/** Everything the data map draws from. The host owns it. */
export interface DataMapState {
  /** Path of the scores. */
  readonly scores: string;
  /** Undefined until it has been read, or if it cannot be read. */
  readonly map: DataMap | undefined;
  /** Dataset of the scores; undefined until it is open. */
  readonly data: MappedData | undefined;
  /** Reason why nothing can be shown, or undefined. */
  readonly failure: string | undefined;
  /** Indices of marked examples, ascending. */
  readonly marks: readonly number[];
  /** New labels of examples, ascending. */
  readonly relabeled: readonly NewLabel[];
  readonly job: PanelJob;
  /** Reason why nothing can be written, as a sentence, or undefined. */
  readonly blocked: string | undefined;
}

export interface DataMapCalls {
  reload(): void;
  examples(query: GalleryQuery): ExamplePage;
  mark(indices: readonly number[], marked: boolean): void;
  /** Assigns new classes to examples, or restores the original ones. */
  relabel(changes: readonly LabelChange[]): void;
  /** Removes all new labels. */
  forgetLabels(): void;
  details(index: number, similarity: number): ExampleDetails;
  /** Changes the selection of examples to keep. */
  choose(subset: ChosenSubset): ChoiceCounts;
  exportSubset(): void;
  cancelExport(): void;
  /** Trains on subsets of the dataset. */
  compareSubsets(): void;
  /** Asks the user for the dataset. */
  chooseData(): void;
  openText(): void;
}

const count = pipe(number(), integer(), minValue(0));

const ends = tuple([number(), number()]);
const similarity = pipe(number(), gtValue(0), maxValue(1));

const query = object({
  order: picklist(orders),
  label: exactOptional(count),
  predicted: exactOptional(count),
  issue: exactOptional(picklist(issueKinds)),
  similarity: exactOptional(similarity),
  similarTo: exactOptional(count),
  region: exactOptional(object({ map: picklist(['dynamics', 'embedding']), x: ends, y: ends })),
  search: exactOptional(string()),
  marked: boolean(),
  relabeled: boolean(),
  page: count,
  containing: exactOptional(count),
  pageSize: pipe(count, minValue(1), maxValue(200)),
});

const subset = object({
  request: object({
    keep: pipe(number(), gtValue(0), maxValue(1)),
    policy: picklist(policies),
    offset: exactOptional(pipe(number(), minValue(0), maxValue(1))),
    balanced: boolean(),
    seed: count,
  }),
  leaveOutMarked: boolean(),
  without: array(picklist(issueKinds)),
  similarity,
});

export const dataMapCalls: CallSchemas<DataMapCalls> = {
  reload: tuple([]),
  examples: tuple([query]),
  mark: tuple([array(count), boolean()]),
  relabel: tuple([array(object({ index: count, label: exactOptional(string()) }))]),
  forgetLabels: tuple([]),
  details: tuple([count, similarity]),
  choose: tuple([subset]),
  exportSubset: tuple([]),
  cancelExport: tuple([]),
  compareSubsets: tuple([]),
  chooseData: tuple([]),
  openText: tuple([]),
};
