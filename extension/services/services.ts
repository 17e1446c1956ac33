import type { LogOutputChannel } from 'vscode';
import type { ExplorerSession } from './explorer-session';
import type { CompressionJobs } from './compression-jobs';
import type { CompressionSession } from './compression-session';
import type { CompressionSessions } from './compression-sessions';
import type { DataJobs } from './data-jobs';
import type { DataReader } from './data-map-session';
import type { JobService } from './jobs/job-service';
import type { ModelFolders } from './model-folders';
import type { ModelJobs } from './model-jobs';
import type { ModelSession } from './model-session';
import type { ModelSessions } from './model-sessions';
import type { OpenModels } from './open-models';
import type { Reports } from './reports';
import type { Settings } from './settings';
import type { SynthesisJobs } from './synthesis-jobs';
import type { SynthesisSession } from './synthesis-session';
import type { SynthesisSessions } from './synthesis-sessions';
import type { InspectorRequests } from '../protocol/worker';
import type { WorkerClient } from './worker-client';
import type { DataMaps } from './data-maps';

/** What commands, panels, editors and views share. Made once, by activate(). */
export interface Services {
  readonly log: LogOutputChannel;
  readonly worker: WorkerClient;
  /** Describes models, while the worker is busy too. */
  readonly inspector: WorkerClient<InspectorRequests>;
  readonly settings: Settings;
  readonly jobs: JobService;
  readonly models: OpenModels;
  readonly folders: ModelFolders;
  readonly sessions: ModelSessions;
  readonly modelJobs: ModelJobs;
  readonly compressionSessions: CompressionSessions;
  readonly compressionJobs: CompressionJobs;
  readonly compressions: Compressions;
  readonly reports: Reports;
  readonly heatmaps: Heatmaps;
  readonly explorers: Explorers;
  /** Reads scores and data sets, while the worker is busy too. */
  readonly dataReader: DataReader;
  readonly dataJobs: DataJobs;
  readonly dataMaps: DataMaps;
  readonly synthesisSessions: SynthesisSessions;
  readonly synthesisJobs: SynthesisJobs;
  readonly syntheses: Syntheses;
}

/** Shows evolutions of symbolic modules. */
export interface Syntheses {
  show(session: SynthesisSession): void;
  isShown(session: SynthesisSession): boolean;
}

/** Shows sessions in heatmap panels. */
export interface Heatmaps {
  show(session: ModelSession): void;
  /** The session of the panel that has the focus or was shown last. */
  readonly active: ModelSession | undefined;
}

/** Shows sessions in compression panels. */
export interface Compressions {
  show(session: CompressionSession): void;
  /** Whether a panel shows a session now. */
  isShown(session: CompressionSession): boolean;
  /** The session of the panel that has the focus. */
  readonly active: CompressionSession | undefined;
}

/** Shows what models consist of in explorer panels. */
export interface Explorers {
  /** @throws UserError or WorkerRequestError when there is no model to show. */
  show(path: string): Promise<ExplorerSession>;
  /** The session of the panel that has the focus. */
  readonly active: ExplorerSession | undefined;
}
