import type {
  CompressionState,
  FromCompression,
  ToCompression,
} from '../../extension/protocol/compression';
import { startPanel } from '../start-panel';
import './compression.css';
import { CompressionPanel } from './panel';
import { received } from './store';
import type { SavedState } from './view-state';
import { viewFrom } from './view-state';

startPanel<FromCompression, ToCompression>(({ restored, send, save }) => {
  let view = viewFrom(restored);
  let state: CompressionState | undefined;
  const panel = new CompressionPanel({
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
      state = received(state, message);
      if (state === undefined) return;
      save();
      panel.show(state);
    },
    saved: () =>
      state && ({ model: state.model.path, file: state.file, view } satisfies SavedState),
  };
});
