import { l10n, Uri, ViewColumn } from 'vscode';
import type { CompressionCalls, CompressionState } from '../protocol/compression';
import { compressionCalls } from '../protocol/compression';
import { commandIds } from '../services/command-ids';
import type { CompressionSession } from '../services/sessions/compression-session';
import { panelJobId, runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';
import { panelViewTypes } from '../services/activation/panel-view-types';

export type CompressionPanel = SessionPanel<CompressionSession, CompressionState, CompressionCalls>;

/** Panel of the cost of compressing each linear layer of a model. */
export const compressionPanel: PanelDefinition<
  CompressionSession,
  CompressionState,
  CompressionCalls
> = {
  name: 'compression',
  viewType: panelViewTypes.compression,
  patchMilliseconds: 250,
  getTitle: ({ model }) => l10n.t('Compression: {0}', model.name),
  getRestore: ({ model, file }) => ({ model: model.path, file }),
  calls: compressionCalls,
  createHandlers: (session) => ({
    profile: () => runCommand(commandIds.profileSensitivity, session),
    resume: () => runCommand(commandIds.resumeJob, panelJobId(session.job)),
    cancel: () => runCommand(commandIds.cancelJob, panelJobId(session.job)),
    survey: (choice) => session.survey(choice),
    predict: (choice) => session.predict(choice),
    usePredicted: (choice) => session.usePredicted(choice),
    apply: async (choice) => {
      await session.usePredicted(choice);
      await runCommand(commandIds.compressModel, session);
    },
    plan: (choice) => runCommand(commandIds.planCompression, session, { ...choice, asks: true }),
    scorePlans: (choice) => runCommand(commandIds.scorePlans, session, { choice }),
    forgetPlan: () => {
      session.setPlan(undefined);
    },
    savePlan: () => runCommand(commandIds.saveCompressionPlan, session),
    compress: () => runCommand(commandIds.compressModel, session),
    makeSmaller: (size) =>
      runCommand(commandIds.makeSmaller, Uri.file(session.model.path), {
        runtime: 'llama.cpp',
        size,
      }),
    openHeatmap: () => runCommand(commandIds.openHeatmap, Uri.file(session.model.path)),
    openText: () =>
      runCommand('vscode.openWith', Uri.file(session.file), 'default', ViewColumn.Beside),
    showLog: () => runCommand(commandIds.showLog),
  }),
};
