import type { DatasetOptions } from '../core/data/datasets/dataset';
import type { Choice } from '../core/datadiet/choose-examples';
import type { ExampleQuery } from '../core/datadiet/subsets/find-examples';
import type {
  ChoiceCounts,
  DataMap,
  DatasetSummary,
  ExampleDetails,
  ExamplePage,
  OpenedData,
  ScoredSource,
} from '../core/datadiet/scores/scored-data';
import type { WorkerRequests } from './worker';

export interface SummarizeRequest {
  readonly data: string;
  readonly options: DatasetOptions;
}

/** Operations that write from scores and their dataset. They run no model and do not wait for one. */
export const dataOperations = ['export-data', 'select-data', 'convert-scores'] as const;
export type DataOperation = (typeof dataOperations)[number];

/**
 * Requests answered by the data reader, a process that keeps open what data maps show: it runs no model
 * and waits for no job of the worker.
 */
export interface DataRequests extends Pick<WorkerRequests, DataOperation> {
  summarize: [SummarizeRequest, DatasetSummary];
  /** Reads all files again. */
  map: [ScoredSource, DataMap];
  /** Opens the dataset. */
  data: [ScoredSource, OpenedData];
  examples: [ScoredSource & { readonly query: ExampleQuery }, ExamplePage];
  details: [ScoredSource & { readonly index: number; readonly similarity: number }, ExampleDetails];
  count: [ScoredSource & { readonly choice: Choice }, ChoiceCounts];
}
