import type { ScoredSource } from '../../core/datadiet/scores/scored-data';
import type { DataMapSession } from './data-map-session';

/** Shows scores of data sets in data map panels. */
export interface DataMaps {
  /** @throws UserError or WorkerRequestError when there are no scores to show. */
  show(source: ScoredSource): Promise<DataMapSession>;
  /** Reads scores again after they were written, if they are shown. */
  reload(scores: string): Promise<void>;
  /** A session without a panel, or that of the panel that shows the scores. */
  session(source: ScoredSource): Promise<DataMapSession>;
  /** The session of the panel that has the focus. */
  readonly active: DataMapSession | undefined;
  /** Reads the maps of a dataset again. */
  reloadData(data: string): Promise<void>;
  /** True if a panel currently shows the scores, or scores of the dataset. */
  shows(path: string): boolean;
}
