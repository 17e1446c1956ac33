import type { FromSymbolic, SymbolicRestore, ToSymbolic } from '../../extension/protocol/symbolic';
import { registerComponents } from '../components/toolkit';
import { SymbolicPanel } from './panel';
import './symbolic.css';
import type { SavedState, View } from './view-state';
import { viewFrom } from './view-state';

/** Entry of the webview of evolutions: messages in, messages out, state kept for a reload. */
function start(): void {
  const api = acquireVsCodeApi();
  registerComponents();
  let view: View = viewFrom(api.getState());
  let source: SymbolicRestore | undefined;
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = () => {
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (source !== undefined) api.setState({ ...source, view } satisfies SavedState);
    }, 200);
  };
  const panel = new SymbolicPanel({
    view,
    send: (message: FromSymbolic) => {
      api.postMessage(message);
    },
    viewChanged: (next) => {
      view = next;
      save();
    },
  });
  document.body.append(panel.element);
  window.addEventListener('message', ({ data }: MessageEvent<ToSymbolic>) => {
    if (data.type === 'evolution') {
      source = { file: data.file };
      save();
    }
    panel.receive(data);
  });
  api.postMessage({ type: 'ready' } satisfies FromSymbolic);
}

start();
