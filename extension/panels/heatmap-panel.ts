import { l10n, Uri, ViewColumn } from 'vscode';
import type { HeatmapCalls, HeatmapState } from '../protocol/heatmap';
import { heatmapCalls } from '../protocol/heatmap';
import { commandIds } from '../services/command-ids';
import type { ModelSession } from '../services/sessions/model-session';
import { panelJobId, runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';
import { panelViewTypes } from '../services/activation/panel-view-types';
import { tellDone } from '../services/activation/steps-done';

export type HeatmapPanel = SessionPanel<ModelSession, HeatmapState, HeatmapCalls>;

/** The layer heatmap of a model. */
export const heatmapPanel: PanelDefinition<ModelSession, HeatmapState, HeatmapCalls> = {
  name: 'heatmap',
  viewType: panelViewTypes.heatmap,
  patchMilliseconds: 250,
  getTitle: ({ model }) => l10n.t('Layer Heatmap: {0}', model.name),
  getRestore: ({ model, profilePath }) => ({ model: model.path, profileFile: profilePath }),
  calls: heatmapCalls,
  createHandlers: (session) => ({
    selectRounds: (rounds) => {
      session.chooseRounds(rounds);
      tellDone('chooseLayers');
    },
    setMark: (sublayer, mark) => {
      session.chooseMark(sublayer, mark);
      tellDone('chooseLayers');
    },
    clearMarks: () => {
      session.clearMarks();
    },
    undo: () => {
      session.undo();
    },
    redo: () => {
      session.redo();
    },
    keepWidths: () => {
      session.keepWidths();
    },
    profile: () => runCommand(commandIds.profileLayers, session),
    prune: () => runCommand(commandIds.pruneLayers, session),
    makeSmaller: () => runCommand(commandIds.makeSmaller, Uri.file(session.model.path)),
    evaluate: () => runCommand(commandIds.evaluateModel, session, { selection: true }),
    showDrift: () => runCommand(commandIds.showDrift, session),
    cancel: () => runCommand(commandIds.cancelJob, panelJobId(session.job)),
    resume: () => runCommand(commandIds.resumeJob, panelJobId(session.job)),
    savePlan: () => runCommand(commandIds.savePlan, session),
    openCompression: () => runCommand(commandIds.openCompression, Uri.file(session.model.path)),
    openConfig: () =>
      runCommand('vscode.open', Uri.joinPath(Uri.file(session.model.path), 'config.json'), {
        viewColumn: ViewColumn.One,
      }),
    showLog: () => runCommand(commandIds.showLog),
  }),
};
