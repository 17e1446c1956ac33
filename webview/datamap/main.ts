import type { DataMapRestore, FromDataMap, ToDataMap } from '../../extension/protocol/datamap';
import { registerComponents } from '../components/toolkit';
import './datamap.css';
import { DataMapPanel } from './panel';
import type { SavedState, View } from './view-state';
import { viewFrom } from './view-state';

/** Entry of the data map's webview: messages in, messages out, state kept for a reload. */
function start(): void {
  const api = acquireVsCodeApi();
  registerComponents();
  let view: View = viewFrom(api.getState());
  let source: DataMapRestore | undefined;
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = () => {
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (source !== undefined) api.setState({ ...source, view } satisfies SavedState);
    }, 200);
  };
  const panel = new DataMapPanel({
    view,
    send: (message: FromDataMap) => {
      api.postMessage(message);
    },
    viewChanged: (next) => {
      view = next;
      save();
    },
  });
  document.body.append(panel.element);
  window.addEventListener('message', ({ data }: MessageEvent<ToDataMap>) => {
    if (data.type === 'map') {
      ({ source } = data);
      save();
    }
    panel.receive(data);
  });
  api.postMessage({ type: 'ready' } satisfies FromDataMap);
}

start();
