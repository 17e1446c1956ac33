import { basename } from 'node:path';
import { env, l10n, Uri } from 'vscode';
import { smallerCalls } from '../protocol/smaller';
import type { SmallerCalls, SmallerState } from '../protocol/smaller';
import { panelViewTypes } from '../services/activation/panel-view-types';
import { commandIds } from '../services/command-ids';
import type { SmallerSession } from '../services/sessions/smaller-session';
import { runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';

export type SmallerPanel = SessionPanel<SmallerSession, SmallerState, SmallerCalls>;

/** Report of a smaller model: what it saves and loses, how to run it, and what to do next. */
export const smallerPanel: PanelDefinition<SmallerSession, SmallerState, SmallerCalls> = {
  name: 'smaller',
  viewType: panelViewTypes.smaller,
  titleOf: ({ smaller }) => l10n.t('Smaller: {0}', basename(smaller.path)),
  restoreOf: ({ smaller }) => ({ smaller: JSON.stringify(smaller) }),
  calls: smallerCalls,
  handlersOf: ({ smaller: { model, path, source, runtime, sensitivity, commands } }) => ({
    tryIt: () => runCommand(commandIds.openPlayground, Uri.file(model), { against: source }),
    reveal: () => runCommand('revealInExplorer', Uri.file(path)),
    evenSmaller: () => runCommand(commandIds.makeSmaller, Uri.file(source), { runtime }),
    seeWhy: () =>
      sensitivity === undefined
        ? runCommand(commandIds.compareModels, Uri.file(model), { against: source })
        : runCommand('vscode.open', Uri.file(sensitivity)),
    copy: async (command) => env.clipboard.writeText(commands[command]?.command ?? ''),
  }),
};
