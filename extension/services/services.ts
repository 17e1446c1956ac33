import type { LogOutputChannel } from 'vscode';
import type { Jobs } from './jobs';
import type { ModelFolders } from './model-folders';
import type { ModelJobs } from './model-jobs';
import type { ModelSession } from './model-session';
import type { ModelSessions } from './model-sessions';
import type { OpenModels } from './open-models';
import type { Reports } from './reports';
import type { Settings } from './settings';
import type { WorkerClient } from './worker-client';

/** What commands, panels, editors and views share. Made once, by activate(). */
export interface Services {
  readonly log: LogOutputChannel;
  readonly worker: WorkerClient;
  readonly settings: Settings;
  readonly jobs: Jobs;
  readonly models: OpenModels;
  readonly folders: ModelFolders;
  readonly sessions: ModelSessions;
  readonly modelJobs: ModelJobs;
  readonly reports: Reports;
  readonly heatmaps: Heatmaps;
}

/** Shows sessions in heatmap panels. */
export interface Heatmaps {
  show(session: ModelSession): void;
  /** The session of the panel that has the focus or was shown last. */
  readonly active: ModelSession | undefined;
}
