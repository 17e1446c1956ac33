import type { DatasetOptions } from '../core/data/datasets/dataset';
import type { DietRequest } from '../core/datadiet/diet-experiment';
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

/** What the worker is asked to train on parts of a data set. */
export interface CompareSubsetsRequest extends Omit<DietRequest, 'folder'> {
  /** Where the result is written (`*.datadiet.json`); finished trainings lie beside it until done. */
  readonly out: string;
}

export interface CompareSubsetsResult {
  /** Choices of examples that were trained on, with all of them and random ones. */
  readonly choices: number;
}

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
