import type { FromHeatmap, ToHeatmap } from '../../extension/protocol/heatmap';
import { registerComponents } from '../components/toolkit';
import type { Choice } from './draft';
import './heatmap.css';
import { HeatmapPanel } from './panel';
import { CHOICE_MILLISECONDS, PanelStore } from './panel-store';
import type { View } from './view-state';
import { savedState, viewFrom } from './view-state';

/** Entry of the layer heatmap's webview: messages in, messages out, state kept for a reload. */
function start(): void {
  const api = acquireVsCodeApi();
  registerComponents();
  const store = new PanelStore();
  let view: View = viewFrom(api.getState());
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = () => {
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (store.state !== undefined) api.setState(savedState(store.state, view));
    }, 200);
  };
  const send = (message: FromHeatmap) => {
    api.postMessage(message);
  };
  const panel = new HeatmapPanel({
    view,
    send,
    choose: (choice: Choice) => {
      store.choose(choice, performance.now());
      show();
      sendChoice(choice);
      setTimeout(() => {
        store.expire(performance.now());
        show();
      }, CHOICE_MILLISECONDS);
    },
    viewChanged: (next) => {
      view = next;
      save();
    },
  });
  const show = () => {
    if (store.state !== undefined) panel.show(store.state);
  };
  const sendChoice = choiceSender(send);
  const received = oncePerFrame(show);

  document.body.append(panel.element);
  window.addEventListener('message', (event: MessageEvent<ToHeatmap>) => {
    store.receive(event.data, performance.now());
    save();
    received();
  });
  send({ type: 'ready' });
}

/** Sends marks at once and, of a slider that is dragged, the last place every 60 milliseconds. */
function choiceSender(send: (message: Choice) => void): (choice: Choice) => void {
  let waiting: Choice | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    timer = undefined;
    if (waiting !== undefined) {
      send(waiting);
      waiting = undefined;
      timer = setTimeout(flush, 60);
    }
  };
  return (choice) => {
    if (choice.type === 'setMark') {
      if (waiting !== undefined) send(waiting);
      waiting = undefined;
      send(choice);
      return;
    }
    waiting = choice;
    if (timer === undefined) flush();
  };
}

function oncePerFrame(callback: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      callback();
    });
  };
}

start();
