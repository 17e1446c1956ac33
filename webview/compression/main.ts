import type {
  CompressionState,
  FromCompression,
  ToCompression,
} from '../../extension/protocol/compression';
import { registerComponents } from '../components/toolkit';
import './compression.css';
import { CompressionPanel } from './panel';
import { received } from './store';
import type { SavedState, View } from './view-state';
import { viewFrom } from './view-state';

/** Entry of the compression panel's webview: messages in, messages out, state kept for a reload. */
function start(): void {
  const api = acquireVsCodeApi();
  registerComponents();
  let view: View = viewFrom(api.getState());
  let state: CompressionState | undefined;
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = () => {
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (state === undefined) return;
      api.setState({ model: state.model.path, file: state.file, view } satisfies SavedState);
    }, 200);
  };
  const panel = new CompressionPanel({
    view,
    send: (message: FromCompression) => {
      api.postMessage(message);
    },
    viewChanged: (next) => {
      view = next;
      save();
    },
  });
  document.body.append(panel.element);
  window.addEventListener('message', ({ data }: MessageEvent<ToCompression>) => {
    state = received(state, data);
    if (state === undefined) return;
    save();
    panel.show(state);
  });
  api.postMessage({ type: 'ready' } satisfies FromCompression);
}

start();
