import { Uri, window } from 'vscode';
import type { ExtensionContext } from 'vscode';
import { registerCommands } from './commands/register-commands';
import { offerInterrupted } from './commands/resume-job';
import { ConfigCodeLens } from './editors/config-code-lens';
import { ConfigHover } from './editors/config-hover';
import { registerDocuments } from './editors/document-editors';
import type { AllPanels } from './editors/document-editors';
import { PlanCodeLens } from './editors/plan-code-lens';
import { PlanDiagnostics } from './editors/plan-diagnostics';
import { CompressionPanels } from './panels/compression-panels';
import { DataMapPanels } from './panels/data-map-panels';
import { ExplorerPanels } from './panels/explorer-panels';
import { HeatmapPanels } from './panels/heatmap-panels';
import { SymbolicPanels } from './panels/symbolic-panels';
import type { DataRequests } from './protocol/data';
import type { InspectorRequests } from './protocol/worker';
import { CompressionJobs } from './services/compression-jobs';
import { CompressionSessions } from './services/compression-sessions';
import { DataJobs } from './services/data-jobs';
import { DataMarks } from './services/data-marks';
import { InterruptedJobs } from './services/interrupted-jobs';
import { Jobs } from './services/jobs';
import { ModelFolders } from './services/model-folders';
import { ModelJobs } from './services/model-jobs';
import { ModelSessions } from './services/model-sessions';
import { OpenModels } from './services/open-models';
import { Reports } from './services/reports';
import type { Services } from './services/services';
import { SessionStore } from './services/session-store';
import { Settings } from './services/settings';
import { SynthesisJobs } from './services/synthesis-jobs';
import { SynthesisSessions } from './services/synthesis-sessions';
import { WorkerClient } from './services/worker-client';
import type { WorkerOptions } from './services/worker-process';
import { showJobStatus } from './views/job-status';
import { ModelsView } from './views/models-view';

/** A cancelled job that has not stopped by then is ended, so that cancelling takes under a second. */
const graceMilliseconds = 750;
/** The data reader blocks on nothing, and what it has written by then takes a while to clear away. */
const readerGraceMilliseconds = 5000;

/** What the extension gives to its own tests. */
export type Espalier = Services & AllPanels & { readonly modelsView: ModelsView };

export function activate(context: ExtensionContext): Espalier {
  const log = window.createOutputChannel('Espalier', { log: true });
  const child = (bundle: string): WorkerOptions => ({
    modulePath: Uri.joinPath(context.extensionUri, 'dist', bundle).fsPath,
    graceMilliseconds,
    onOutput: (text) => {
      log.warn(text.trimEnd());
    },
  });
  const worker = new WorkerClient(child('worker.js'));
  const inspector = new WorkerClient<InspectorRequests>(child('inspector.js'));
  const dataReader = new WorkerClient<DataRequests>({
    ...child('data-reader.js'),
    graceMilliseconds: readerGraceMilliseconds,
  });
  const settings = new Settings();
  const jobs = new Jobs(worker, log);
  const interrupted = new InterruptedJobs(context.workspaceState, jobs);
  const exports = new Jobs(dataReader, log);
  const models = new OpenModels(inspector);
  const folders = new ModelFolders();
  const store = new SessionStore(context.workspaceState);
  const sessions = new ModelSessions(models, store, interrupted, log);
  const heatmaps = new HeatmapPanels(context.extensionUri, sessions);
  const modelJobs = new ModelJobs(jobs, settings, interrupted, (session) =>
    heatmaps.isShown(session),
  );
  const compressionSessions = new CompressionSessions(
    models,
    context.workspaceState,
    interrupted,
    log,
  );
  const compressions = new CompressionPanels(context.extensionUri, compressionSessions);
  const compressionJobs = new CompressionJobs(jobs, settings, interrupted, (session) =>
    compressions.isShown(session),
  );
  const reports = new Reports(models);
  const dataJobs = new DataJobs(jobs, context.workspaceState);
  const marks = new DataMarks(context.workspaceState);
  const dataMaps = new DataMapPanels(context.extensionUri, dataReader, marks);
  const synthesisSessions = new SynthesisSessions(context.workspaceState);
  const syntheses = new SymbolicPanels(context.extensionUri, synthesisSessions);
  const synthesisJobs = new SynthesisJobs(jobs, synthesisSessions, (session) =>
    syntheses.isShown(session),
  );
  const explorers = new ExplorerPanels(context.extensionUri, inspector, reports, models);
  const modelsView = new ModelsView(folders, models, inspector);
  const services = {
    log,
    worker,
    inspector,
    settings,
    jobs,
    interrupted,
    models,
    folders,
    sessions,
    modelJobs,
    compressionSessions,
    compressionJobs,
    compressions,
    reports,
    heatmaps,
    explorers,
    dataReader,
    exports,
    dataJobs,
    dataMaps,
    synthesisSessions,
    synthesisJobs,
    syntheses,
    modelsView,
  };
  context.subscriptions.push(
    log,
    worker,
    inspector,
    dataReader,
    jobs,
    exports,
    folders,
    sessions,
    heatmaps,
    compressionSessions,
    compressions,
    explorers,
    dataMaps,
    syntheses,
    reports,
    registerCommands(services),
    registerDocuments(services),
    new ConfigCodeLens(models, log),
    new ConfigHover(inspector, log),
    new PlanCodeLens(models),
    new PlanDiagnostics(models),
    modelsView,
    showJobStatus([jobs, exports]),
  );
  void offerInterrupted(services);
  return services;
}
