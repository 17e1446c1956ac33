import type { ScoredSource } from '../../core/datadiet/scores/scored-data';
import type { DataMapSession } from './data-map-session';

/** Shows scores of data sets in data map panels. */
export interface DataMaps {
  /** @throws UserError or WorkerRequestError when there are no scores to show. */
  show(source: ScoredSource): Promise<DataMapSession>;
  /** Reads scores again that were written anew, where they are shown. */
  reload(scores: string): Promise<void>;
  /** A session without a panel, or that of the panel that shows the scores. */
  session(source: ScoredSource): Promise<DataMapSession>;
  /** The session of the panel that has the focus. */
  readonly active: DataMapSession | undefined;
  /** Reads the maps of a data set again. */
  reloadData(data: string): Promise<void>;
  /** Whether a panel shows scores, or those of a data set, now. */
  shows(path: string): boolean;
}
