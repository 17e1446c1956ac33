import { registerComponents } from './components/toolkit';

/** What a panel is given. */
export interface PanelHost<From> {
  /** What was kept before a reload of the window, if anything was. */
  readonly restored: unknown;
  readonly send: (message: From) => void;
  /** Keeps what {@link StartedPanel.saved} gives, soon. */
  readonly save: () => void;
}

export interface StartedPanel<To> {
  readonly element: HTMLElement;
  readonly receive: (message: To) => void;
  /** What is kept for a reload; undefined while there is nothing to come back to. */
  readonly saved: () => object | undefined;
}

/** Changes that come close together are kept together. */
const saveMilliseconds = 200;

/** Entry of every webview: messages in, messages out, state kept for a reload. */
export function startPanel<From, To>(
  make: (host: PanelHost<From | { readonly type: 'ready' }>) => StartedPanel<To>,
): void {
  const api = acquireVsCodeApi();
  registerComponents();
  let saving: ReturnType<typeof setTimeout> | undefined;
  const send = (message: From | { readonly type: 'ready' }) => {
    api.postMessage(message);
  };
  const panel = make({
    restored: api.getState(),
    send,
    save: () => {
      clearTimeout(saving);
      saving = setTimeout(() => {
        const state = panel.saved();
        if (state !== undefined) api.setState(state);
      }, saveMilliseconds);
    },
  });
  document.body.append(panel.element);
  window.addEventListener('message', ({ data }: MessageEvent<To>) => {
    panel.receive(data);
  });
  send({ type: 'ready' });
}
