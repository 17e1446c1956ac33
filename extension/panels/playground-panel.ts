import { l10n } from 'vscode';
import { modelPathName } from '../core/checkpoints/model-file';
import type { PlaygroundCalls, PlaygroundState } from '../protocol/playground';
import { playgroundCalls } from '../protocol/playground';
import { commandIds } from '../services/command-ids';
import type { PlaygroundSession } from '../services/sessions/playground-session';
import { runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';
import { panelViewTypes } from '../services/activation/panel-view-types';

export type PlaygroundPanel = SessionPanel<PlaygroundSession, PlaygroundState, PlaygroundCalls>;

/** One or two models that continue the same prompt. */
export const playgroundPanel: PanelDefinition<PlaygroundSession, PlaygroundState, PlaygroundCalls> =
  {
    name: 'playground',
    viewType: panelViewTypes.playground,
    getTitle: ({ models }) => l10n.t('Playground: {0}', modelPathName(models.at(-1) ?? '')),
    getRestore: ({ models }) => ({ models: JSON.stringify(models) }),
    calls: playgroundCalls,
    createHandlers: (session) => ({
      generate: (prompt) => {
        // The session sends tokens and the end of the run to the panel.
        void session.generate(prompt);
      },
      stop: () => {
        session.stop();
      },
      newChat: () => {
        session.newChat();
      },
      choose: () => runCommand(commandIds.openPlayground, session),
    }),
  };
