import type { FromSymbolic, ToSymbolic } from '../../extension/protocol/symbolic';
import { startPanel } from '../start-panel';
import './symbolic.css';
import { SymbolicPanel } from './panel';
import type { SavedState } from './view-state';
import { viewFrom } from './view-state';

startPanel<FromSymbolic, ToSymbolic>(({ restored, send, save }) => {
  let view = viewFrom(restored);
  let shown: Omit<SavedState, 'view'> | undefined;
  const panel = new SymbolicPanel({
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
      if (message.type === 'evolution') {
        shown = { file: message.file };
        save();
      }
      panel.receive(message);
    },
    saved: () => shown && ({ ...shown, view } satisfies SavedState),
  };
});
