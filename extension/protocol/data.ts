import type { DatasetOptions } from '../core/data/datasets/dataset';
import type { ExampleQuery } from '../core/datadiet/find-examples';
import type {
  Choice,
  ChoiceCounts,
  DataExport,
  DataExportResult,
  DataMap,
  DatasetSummary,
  ExamplePage,
  ScoredSource,
} from '../core/datadiet/scored-data';

export interface SummarizeRequest {
  readonly data: string;
  readonly options: DatasetOptions;
}

/**
 * Requests answered by the data reader, a process that keeps open what data maps show: it runs no model
 * and waits for no job.
 */
export interface DataRequests {
  summarize: [SummarizeRequest, DatasetSummary];
  /** Reads everything anew. */
  map: [ScoredSource, DataMap];
  examples: [ScoredSource & { readonly query: ExampleQuery }, ExamplePage];
  count: [ScoredSource & { readonly choice: Choice }, ChoiceCounts];
  export: [ScoredSource & { readonly request: DataExport; readonly out: string }, DataExportResult];
}
