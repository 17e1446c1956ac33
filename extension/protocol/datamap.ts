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
  tuple,
} from 'valibot';
import type { ExampleOrder, ExampleQuery } from '../core/datadiet/subsets/find-examples';
import type {
  ChoiceCounts,
  DataMap,
  ExamplePage,
  MappedData,
} from '../core/datadiet/scores/scored-data';
import type { Policy, SelectionRequest } from '../core/datadiet/subsets/selection';
import type { DataOperation } from './data';
import type { PanelJob } from './jobs';
import type { CallSchemas } from './panel';

export const orders = [
  'hardest',
  'easiest',
  'ambiguous',
  'suspicious',
  'stored',
] as const satisfies readonly ExampleOrder[];
export const policies = ['max', 'window', 'random'] as const satisfies readonly Policy[];

/** What the user asks for in the gallery; the marked ones are known to the host. */
export type GalleryQuery = Omit<ExampleQuery, 'among'> & { readonly marked: boolean };

/** Writing what was chosen, as the panel tells of it. */
export type ExportJob = PanelJob<DataOperation>;

/** What is to be kept. */
export interface ChosenSubset {
  readonly request: SelectionRequest;
  /** Marked examples are not kept. */
  readonly leaveOutMarked: boolean;
}

/** Everything the data map draws from. The host owns it. */
export interface DataMapState {
  /** Path of the scores. */
  readonly scores: string;
  /** Undefined until it has been read, and where it cannot be. */
  readonly map: DataMap | undefined;
  /** Its data set; undefined until it has been opened. */
  readonly data: MappedData | undefined;
  /** Why there is nothing to show, if so. */
  readonly failure: string | undefined;
  /** Indices of marked examples, ascending. */
  readonly marks: readonly number[];
  readonly job: ExportJob;
  /** The sentence that says why nothing can be written, if so. */
  readonly blocked: string | undefined;
}

export interface DataMapCalls {
  reload(): void;
  examples(query: GalleryQuery): ExamplePage;
  mark(indices: readonly number[], marked: boolean): void;
  /** Changes what is kept. */
  choose(subset: ChosenSubset): ChoiceCounts;
  exportSubset(): void;
  cancelExport(): void;
  /** Training on parts of the data set. */
  compareSubsets(): void;
  /** The user names the data set. */
  chooseData(): void;
  openText(): void;
}

const count = pipe(number(), integer(), minValue(0));

const query = object({
  order: picklist(orders),
  label: exactOptional(count),
  suspected: boolean(),
  marked: boolean(),
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
});

export const dataMapCalls: CallSchemas<DataMapCalls> = {
  reload: tuple([]),
  examples: tuple([query]),
  mark: tuple([array(count), boolean()]),
  choose: tuple([subset]),
  exportSubset: tuple([]),
  cancelExport: tuple([]),
  compareSubsets: tuple([]),
  chooseData: tuple([]),
  openText: tuple([]),
};
