import type { FromDataMap, ToDataMap } from '../../extension/protocol/datamap';
import { startPanel } from '../start-panel';
import './datamap.css';
import { DataMapPanel } from './panel';
import type { SavedState } from './view-state';
import { viewFrom } from './view-state';

startPanel<FromDataMap, ToDataMap>(({ restored, send, save }) => {
  let view = viewFrom(restored);
  let shown: Omit<SavedState, 'view'> | undefined;
  const panel = new DataMapPanel({
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
      if (message.type === 'map') {
        shown = message.source;
        save();
      }
      panel.receive(message);
    },
    saved: () => shown && ({ ...shown, view } satisfies SavedState),
  };
});
