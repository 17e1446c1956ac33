import { dirname, join } from 'node:path';
import { l10n, Uri } from 'vscode';
import { modelPathName } from '../core/checkpoints/model-file';
import type { ExplorerCalls, ExplorerState } from '../protocol/explorer';
import { explorerCalls } from '../protocol/explorer';
import { commandIds } from '../services/command-ids';
import { exportModel } from '../services/documents/export-model';
import type { ExplorerSession } from '../services/sessions/explorer-session';
import type { Reports } from '../services/reports/reports';
import { runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';
import { panelViewTypes } from '../services/activation/panel-view-types';

export type ExplorerDefinition = PanelDefinition<ExplorerSession, ExplorerState, ExplorerCalls>;
export type ExplorerPanel = SessionPanel<ExplorerSession, ExplorerState, ExplorerCalls>;

/** A model's structure. */
export const explorerPanel = (reports: Reports): ExplorerDefinition => ({
  name: 'explorer',
  viewType: panelViewTypes.explorer,
  getTitle: ({ path }) => l10n.t('Model: {0}', modelPathName(path)),
  getRestore: ({ path }) => ({ path }),
  calls: explorerCalls,
  createHandlers: (session) => ({
    reload: () => session.open(),
    measure: (tensor) => session.measure(tensor),
    revealed: () => {
      session.reveal(undefined);
    },
    diagram: (open) => session.draw(open),
    importance: () => session.importance(),
    export: (format) => exportModel(session, format, reports),
    showDrift: () => runCommand(commandIds.showDrift, Uri.file(session.path)),
    chooseValues: () => runCommand(commandIds.showValues, session),
    hideValues: () => {
      session.setValues(undefined);
    },
    makeSmaller: () => runCommand(commandIds.makeSmaller, Uri.file(session.path)),
    openHeatmap: () => runCommand(commandIds.openHeatmap, Uri.file(session.path)),
    openFile: (name) => openFile(session, name),
    compare: () => runCommand(commandIds.compareModels, session),
    compareWeights: () => session.compareWeights(),
    writeReport: () => runCommand(commandIds.writeReport, Uri.file(session.path), session.compared),
    endComparison: () => {
      session.endComparison();
    },
  }),
});

/** Only files that the description names: a webview opens nothing else. */
async function openFile({ model, path }: ExplorerSession, name: string): Promise<void> {
  if (model?.sideFiles.some((file) => file.name === name) === true) {
    const [first] = model.files;
    const folder = first === undefined ? path : dirname(first.path);
    await runCommand('vscode.open', Uri.file(join(folder, name)));
  }
}
