import { basename, dirname } from 'node:path';
import { env, l10n, Uri, ViewColumn } from 'vscode';
import type { SymbolicCalls, SymbolicState } from '../protocol/symbolic';
import { symbolicCalls } from '../protocol/symbolic';
import { commandIds } from '../services/command-ids';
import type { SynthesisSession } from '../services/sessions/synthesis-session';
import { panelJobId, runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';
import { panelViewTypes } from '../services/activation/panel-view-types';

export type SymbolicPanel = SessionPanel<SynthesisSession, SymbolicState, SymbolicCalls>;

/** An evolution of symbolic modules. */
export const symbolicPanel: PanelDefinition<SynthesisSession, SymbolicState, SymbolicCalls> = {
  name: 'symbolic',
  viewType: panelViewTypes.symbolic,
  getTitle: ({ file }) => l10n.t('Evolution: {0}', basename(dirname(file))),
  getRestore: ({ file }) => ({ file }),
  calls: symbolicCalls,
  createHandlers: (session) => ({
    reload: () => session.open(),
    resume: () => runCommand(commandIds.resumeJob, panelJobId(session.job)),
    cancel: () => runCommand(commandIds.cancelJob, panelJobId(session.job)),
    copy: (text) => env.clipboard.writeText(text),
    openText: () =>
      runCommand('vscode.openWith', Uri.file(session.file), 'default', ViewColumn.Beside),
  }),
};
