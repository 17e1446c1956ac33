import type { FromHeatmap, ToHeatmap } from '../../extension/protocol/heatmap';
import { startPanel } from '../start-panel';
import type { Choice } from './draft';
import './heatmap.css';
import { HeatmapPanel } from './panel';
import { CHOICE_MILLISECONDS, PanelStore } from './panel-store';
import type { View } from './view-state';
import { savedState, viewFrom } from './view-state';

startPanel<FromHeatmap, ToHeatmap>(({ restored, send, save }) => {
  const store = new PanelStore();
  let view: View = viewFrom(restored);
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
  return {
    element: panel.element,
    receive: (message) => {
      store.receive(message, performance.now());
      save();
      received();
    },
    saved: () => store.state && savedState(store.state, view),
  };
});

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
