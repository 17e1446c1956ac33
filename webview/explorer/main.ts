import type { FromExplorer, ToExplorer } from '../../extension/protocol/explorer';
import { startPanel } from '../start-panel';
import './explorer.css';
import { ExplorerPanel } from './panel';
import type { SavedState } from './view-state';
import { viewFrom } from './view-state';

startPanel<FromExplorer, ToExplorer>(({ restored, send, save }) => {
  let view = viewFrom(restored);
  let shown: Omit<SavedState, 'view'> | undefined;
  const panel = new ExplorerPanel({
    view,
    send,
    viewChanged: (next) => {
      view = next;
      save();
    },
  });
  return {
    element: panel.element,
    receive: (message) => {
      if (message.type === 'model') {
        shown = { path: message.path };
        save();
      }
      panel.receive(message);
    },
    saved: () => shown && ({ ...shown, view } satisfies SavedState),
  };
});
