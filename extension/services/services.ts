import type { LogOutputChannel, Uri } from 'vscode';
import type { ExplorerSession } from './sessions/explorer-session';
import type { CompressionSession } from './sessions/compression-session';
import type { CompressionSessions } from './sessions/compression-sessions';
import type { BudgetPlans } from './documents/budget-plans';
import type { Documents } from './documents/documents';
import type { DataReader } from './sessions/data-map-session';
import type { Evaluation } from '../core/evaluate/evaluation';
import type { PanelName } from '../core/operations/presentation';
import type { JobEvent } from '../protocol/worker';
import type { JobService } from './jobs/job-service';
import type { ModelFolders } from './documents/model-folders';
import type { ModelSession } from './sessions/model-session';
import type { ModelSessions } from './sessions/model-sessions';
import type { OpenModels } from './documents/open-models';
import type { Reports } from './reports/reports';
import type { Settings } from './settings';
import type { SynthesisSession } from './sessions/synthesis-session';
import type { SynthesisSessions } from './sessions/synthesis-sessions';
import type { QuestionRequests } from '../core/operations/questions/questions';
import type { WorkerClient } from './worker/worker-client';
import type { DataMaps } from './sessions/data-maps';

/** Services shared by commands, panels, editors and views. Created once, by activate(). */
export interface Services {
  readonly log: LogOutputChannel;
  readonly worker: WorkerClient;
  /** Describes models, while the worker is busy too. */
  readonly inspector: WorkerClient<QuestionRequests>;
  readonly settings: Settings;
  readonly jobs: JobService;
  readonly models: OpenModels;
  readonly documents: Documents;
  readonly folders: ModelFolders;
  readonly sessions: ModelSessions;
  readonly compressionSessions: CompressionSessions;
  /** Plans under a budget from measured changes. */
  readonly plans: BudgetPlans;
  readonly compressions: Compressions;
  readonly reports: Reports;
  readonly heatmaps: Heatmaps;
  readonly explorers: Explorers;
  /** Reads scores and data sets, while the worker is busy too. */
  readonly dataReader: DataReader;
  readonly dataMaps: DataMaps;
  readonly synthesisSessions: SynthesisSessions;
  readonly syntheses: Syntheses;
  readonly playgrounds: Playgrounds;
  readonly resultReports: ResultReports;
  /** The panels by the names that operations declare. */
  readonly jobPanels: JobPanels;
  readonly places: Places;
}

/** Shows models that continue prompts side by side. */
export interface Playgrounds {
  /** @param models path of one model, or of the original and the changed model */
  show(models: readonly string[]): void;
}

/** Shows reports of results. */
export interface ResultReports {
  /** Shows a report again; false if it is no longer kept. */
  reopen(key: string): Promise<boolean>;
}

/** Folders of the extension. */
export interface Places {
  /** Folder of the bundled model and texts. */
  readonly samples: Uri;
  /** Folder of the extension's own files. */
  readonly ownFolder: Uri;
}

/** Shows evolutions of symbolic modules. */
export interface Syntheses {
  show(session: SynthesisSession): void;
  isShown(session: SynthesisSession): boolean;
}

/** Shows sessions in heatmap panels. */
export interface Heatmaps {
  show(session: ModelSession): void;
  /** True if a panel shows a session now. */
  isShown(session: ModelSession): boolean;
  /** The session of the panel that has the focus or was shown last. */
  readonly active: ModelSession | undefined;
}

/** Shows sessions in compression panels. */
export interface Compressions {
  show(session: CompressionSession): void;
  /** True if a visible panel shows a session. */
  isShown(session: CompressionSession): boolean;
  /** The session of the panel that has the focus. */
  readonly active: CompressionSession | undefined;
}

/** Shows the structure of models in explorer panels. */
export interface Explorers {
  /** @throws UserError or WorkerRequestError when there is no model to show. */
  show(path: string): Promise<ExplorerSession>;
  /** The session of the panel that has the focus. */
  readonly active: ExplorerSession | undefined;
}

/** Document created by a job. */
interface MadeDocument {
  /** Path of the model or dataset. */
  readonly model: string;
  /** Path of the document. */
  readonly document: string;
}

/** Panel that shows jobs of some operations. */
export interface JobPanel {
  /** @param document that the job reads or writes */
  open(model: string, document: string | undefined): Promise<void>;
  isShown(model: string, document: string | undefined): boolean;
  /** The job that makes a document begins to run; `resumed` if it has run before. */
  begin?(
    job: MadeDocument & { readonly request: object; readonly resumed: boolean },
  ): Promise<void> | void;
  /** A part of the document. */
  event?(event: JobEvent, made: MadeDocument): void;
  /** The finished document. */
  done?(result: unknown, made: MadeDocument): Promise<void> | void;
  /** Evaluation of an unchanged model, if the panel has one. */
  original?(model: string): Evaluation | undefined;
}
export type JobPanels = Readonly<Record<PanelName, JobPanel>>;
