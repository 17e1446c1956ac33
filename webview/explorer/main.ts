import type { FromExplorer, ToExplorer } from '../../extension/protocol/explorer';
import { registerComponents } from '../components/toolkit';
import './explorer.css';
import { ExplorerPanel } from './panel';
import type { SavedState, View } from './view-state';
import { viewFrom } from './view-state';

/** Entry of the explorer's webview: messages in, messages out, state kept for a reload. */
function start(): void {
  const api = acquireVsCodeApi();
  registerComponents();
  let view: View = viewFrom(api.getState());
  let path: string | undefined;
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = () => {
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (path !== undefined) api.setState({ path, view } satisfies SavedState);
    }, 200);
  };
  const panel = new ExplorerPanel({
    view,
    send: (message: FromExplorer) => {
      api.postMessage(message);
    },
    viewChanged: (next) => {
      view = next;
      save();
    },
  });
  document.body.append(panel.element);
  window.addEventListener('message', ({ data }: MessageEvent<ToExplorer>) => {
    if (data.type === 'model') {
      ({ path } = data);
      save();
    }
    panel.receive(data);
  });
  api.postMessage({ type: 'ready' } satisfies FromExplorer);
}

start();
