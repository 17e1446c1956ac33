import { l10n, Uri, window, workspace } from 'vscode';
import type { ExtensionContext } from 'vscode';
import { showJobNotices } from './commands/job-notices';
import { runCommand } from './commands/run-command';
import { ConfigCodeLens } from './editors/config-code-lens';
import { ConfigHover } from './editors/config-hover';
import { documentEditors, watchAllDocuments } from './editors/document-editors';
import type { AllPanels } from './editors/document-editors';
import { PlanCodeLens } from './editors/plan-code-lens';
import { PlanDiagnostics } from './editors/plan-diagnostics';
import { CompressionPanels } from './panels/compression-panels';
import { DataMapPanels } from './panels/data-map-panels';
import { ExplorerPanels } from './panels/explorer-panels';
import { HeatmapPanels } from './panels/heatmap-panels';
import { PlaygroundPanels } from './panels/playground-panels';
import { ReportPanels } from './panels/report-panels';
import { SymbolicPanels } from './panels/symbolic-panels';
import type { DataRequests } from './protocol/data';
import type { QuestionRequests } from './core/operations/questions/questions';
import type { Host } from './services/activation/host';
import { tellDoneJobs } from './services/activation/steps-done';
import { agentServer } from './services/agent-server';
import { agentTool } from './services/agent-tools';
import { BudgetPlans } from './services/documents/budget-plans';
import { CompressionSessions } from './services/sessions/compression-sessions';
import { DataMarks } from './services/sessions/data-marks';
import { jobPanels, watchPanels } from './services/jobs/job-panels';
import { JobService } from './services/jobs/job-service';
import { JobStore } from './services/jobs/job-store';
import { Documents } from './services/documents/documents';
import type { ModelFolders } from './services/documents/model-folders';
import { ModelMenus } from './services/documents/model-menus';
import { updatePanels } from './services/sessions/update-panels';
import { ModelSessions } from './services/sessions/model-sessions';
import { OpenModels } from './services/documents/open-models';
import { describeError } from './services/report-error';
import { ReportStore } from './services/reports/report-store';
import { Reports } from './services/reports/reports';
import { reportResults } from './services/reports/result-reports';
import type { Services } from './services/services';
import { jobsFile, stored } from './services/stored';
import { SessionStore } from './services/sessions/session-store';
import { Settings } from './services/settings';
import { SynthesisSessions } from './services/sessions/synthesis-sessions';
import { assertAllowed, explainBlocked } from './services/trust';
import { WorkerClient } from './services/worker/worker-client';
import type { ClientOptions } from './services/worker/worker-client';
import { showJobStatus } from './views/job-status';
import { JobsView } from './views/jobs-view';
import { ModelsView } from './views/models-view';
import { ResultsView } from './views/results-view';

/** Grace period before a cancelled job is killed, so that cancelling takes under a second. */
const graceMilliseconds = 750;
/** The data reader doesn't block, but cleaning up its partial output takes time. */
const readerGraceMilliseconds = 5000;

/** Everything except what activation registers; also used by tests. */
export type Espalier = Services &
  AllPanels & {
    readonly modelsView: ModelsView;
    readonly playgrounds: PlaygroundPanels;
    readonly resultReports: ReportPanels;
  };

export type StartedHost = Host & { readonly espalier: Espalier };

/** Creates all services once. They are disposed with the context. */
export function startHost(context: ExtensionContext, folders: ModelFolders): StartedHost {
  const log = window.createOutputChannel('Espalier', { log: true });
  const child = (bundle: string): ClientOptions => ({
    modulePath: Uri.joinPath(context.extensionUri, 'dist', bundle).fsPath,
    graceMilliseconds,
    assertMayRun: () => {
      assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
    },
    onOutput: (text) => {
      log.warn(text.trimEnd());
    },
  });
  const worker = new WorkerClient(child('worker.js'));
  const inspector = new WorkerClient<QuestionRequests>(child('inspector.js'));
  const dataReader = new WorkerClient<DataRequests>({
    ...child('data-reader.js'),
    graceMilliseconds: readerGraceMilliseconds,
  });
  const settings = new Settings();
  const jobs = new JobService({
    lanes: { worker, dataReader },
    store: new JobStore(jobsFile(context), (text) => {
      log.warn(text);
    }),
    withPassword: (request) => settings.withPassword(request),
    estimate: async (operation, request) => inspector.request('estimate', { operation, request }),
    check: async (operation, request) => inspector.request('checkModels', { operation, request }),
    log,
    translate: l10n.t,
    describeError,
  });
  const models = new OpenModels(inspector);
  const documents = new Documents(inspector);
  const store = new SessionStore(context.workspaceState);
  const budgetPlans = new BudgetPlans(inspector, settings);
  const sessions = new ModelSessions(models, documents, budgetPlans, store, jobs, log);
  const heatmaps = new HeatmapPanels(context.extensionUri, sessions);
  const reportStore = new ReportStore(stored(context, 'reports'));
  const reports = new Reports(models, reportStore);
  const compressionSessions = new CompressionSessions(
    models,
    documents,
    budgetPlans,
    context.workspaceState,
    jobs,
    log,
  );
  const compressions = new CompressionPanels(context.extensionUri, compressionSessions);
  const marks = new DataMarks(context.workspaceState);
  const dataMaps = new DataMapPanels(context.extensionUri, dataReader, marks, jobs);
  const synthesisSessions = new SynthesisSessions(documents, jobs);
  const syntheses = new SymbolicPanels(context.extensionUri, synthesisSessions);
  const followed = jobPanels({
    sessions,
    heatmaps,
    compressionSessions,
    compressions,
    synthesisSessions,
    syntheses,
    dataMaps,
  });
  watchPanels(jobs, followed);
  const drifts = updatePanels(jobs, { sessions, compressionSessions, dataMaps, documents });
  tellDoneJobs(jobs);
  const explorers = new ExplorerPanels(
    context.extensionUri,
    inspector,
    reports,
    models,
    documents,
    drifts,
  );
  const playgrounds = new PlaygroundPanels(
    context.extensionUri,
    settings,
    models,
    () => new WorkerClient(child('worker.js')),
  );
  const resultReports = new ReportPanels(context.extensionUri, reportStore);
  reportResults(jobs, resultReports, models);
  const modelMenus = new ModelMenus(folders, models);
  const modelsView = new ModelsView(folders, models, inspector);
  const jobsView = new JobsView(jobs);
  const resultsView = new ResultsView(folders, models);
  const services = {
    log,
    worker,
    inspector,
    settings,
    jobs,
    models,
    documents,
    folders,
    sessions,
    compressionSessions,
    plans: budgetPlans,
    compressions,
    reports,
    heatmaps,
    explorers,
    dataReader,
    dataMaps,
    synthesisSessions,
    syntheses,
    playgrounds,
    resultReports,
    jobPanels: followed,
    modelsView,
    places: {
      samples: Uri.joinPath(context.extensionUri, 'samples'),
      ownFolder: context.globalStorageUri,
    },
  };
  context.subscriptions.push(
    jobs,
    log,
    worker,
    inspector,
    dataReader,
    sessions,
    heatmaps,
    compressionSessions,
    compressions,
    explorers,
    dataMaps,
    synthesisSessions,
    syntheses,
    playgrounds,
    resultReports,
    reports,
    watchAllDocuments(services),
    new ConfigCodeLens(models, log),
    new ConfigHover(inspector, log),
    new PlanCodeLens(models, documents),
    new PlanDiagnostics(documents),
    modelMenus,
    modelsView,
    jobsView,
    resultsView,
    showJobStatus(jobs),
    showJobNotices(services),
  );
  const { extension, extensionUri } = context;
  const { version } = extension.packageJSON as { readonly version: string };
  return {
    espalier: services,
    runCommand: async (name, argument, options) => runCommand(services, name, argument, options),
    views: { models: modelsView, jobs: jobsView, results: resultsView },
    panels: {
      heatmap: heatmaps,
      compression: compressions,
      explorer: explorers,
      dataMap: dataMaps,
      symbolic: syntheses,
      playground: playgrounds,
      report: resultReports,
    },
    resolveEditor: documentEditors(services),
    tool: (name) => agentTool(services, name),
    agentServers: () => [agentServer(extensionUri, version)],
  };
}
