import { signal } from '@preact/signals';
import type { ReadonlySignal } from '@preact/signals';
import type { FunctionComponent } from 'preact';
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import type { CallsOf, FromPanel, PieceToPanel, ToPanel } from '../../extension/protocol/panel';
import { begins, Joiner } from '../../extension/protocol/pieces';
import type { SentPiece } from '../../extension/protocol/pieces';
import { Notice } from '../components/notice';
import { Calls, methods } from './calls';
import type { Caller, Runner } from './calls';
import { keepScroll } from './keep-scroll';
import { imagesGoTo } from './save-image';
import { scrollTopFrom, viewFrom } from './saved-view';
import type { Saved } from './saved-view';
import { Store } from './store';

/** Data and functions of a panel's components. */
export interface Panel<State extends object, C extends CallsOf<C>, View extends object> {
  /** A field of the host's state. Who reads it is drawn again when it changes. */
  readonly get: <Field extends keyof State>(field: Field) => State[Field];
  /** View of the panel, restored after reloads. */
  readonly view: ReadonlySignal<View>;
  readonly setView: (change: Partial<View>) => void;
  readonly call: Caller<C>;
  readonly run: Runner<C>;
  /** Shows, at the head of the page, why a call failed. */
  readonly showError: (error: unknown) => void;
  /** Says something to screen readers. */
  readonly announce: (text: string) => void;
}

export interface PanelParts<State extends object, C extends CallsOf<C>, View extends object> {
  /** Reads a view that was kept; each field has a fallback. */
  readonly view: Saved<View>;
  readonly Main: FunctionComponent<{ readonly panel: Panel<State, C, View> }>;
  /** Text until the host sends its state. */
  readonly loading: string;
}

/** Changes that come close together are kept together. */
const saveMilliseconds = 200;

/** Starts a webview: messages in and out, the view and the place in the page kept for a reload. */
export function startPanel<State extends object, C extends CallsOf<C>, View extends object>({
  view: schema,
  Main,
  loading,
}: PanelParts<State, C, View>): void {
  const api = acquireVsCodeApi();
  const post = (message: FromPanel) => {
    api.postMessage(message);
  };
  imagesGoTo(post);
  const [store, calls] = [new Store<State>(), new Calls(post)];
  const [announced, failure] = [signal(''), signal<string | undefined>(undefined)];
  const saved: unknown = api.getState();
  let scrollTop = scrollTopFrom(saved);
  const view = signal(viewFrom(schema, saved));
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = () => {
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (!store.loaded.peek()) return;
      api.setState({ ...store.restore, view: view.peek(), scrollTop });
    }, saveMilliseconds);
  };
  const call = async (name: string, args: readonly unknown[]) => calls.call(name, args);
  const showError = (error: unknown) => {
    failure.value = error instanceof Error ? error.message : String(error);
  };
  const panel: Panel<State, C, View> = {
    get: (field) => store.get(field),
    view,
    setView: (change) => {
      view.value = { ...view.peek(), ...change };
      save();
    },
    call: methods(call) as Caller<C>,
    run: methods((name, args) => {
      failure.value = undefined;
      call(name, args).catch(showError);
    }) as Runner<C>,
    showError,
    announce: (text) => {
      announced.value = text;
    },
  };
  const Page = () => {
    const isLoaded = store.loaded.value;
    useEffect(() => {
      if (isLoaded) void loadToolkit();
    }, [isLoaded]);
    return (
      <main>
        {failure.value !== undefined && <Notice text={failure.value} isAlert />}
        {isLoaded ? <Main panel={panel} /> : <p class="muted loading">{loading}</p>}
        <p class="sr-only" role="status">
          {announced.value}
        </p>
      </main>
    );
  };
  render(<Page />, document.body);
  keepScroll(scrollTop, (top) => {
    scrollTop = top;
    save();
  });
  const receive = (message: ToPanel<State>) => {
    if (message.type === 'answer') {
      calls.settle(message.id, message.answer);
      return;
    }
    store.receive(message);
    save();
  };
  let joiner: Joiner | undefined;
  window.addEventListener('message', ({ data }: MessageEvent<ToPanel<State> | PieceToPanel>) => {
    if (data.type !== 'piece') {
      receive(data);
      return;
    }
    const { piece, isLast } = JSON.parse(data.sent) as SentPiece;
    if (begins(piece)) joiner = new Joiner();
    // The end of a message whose beginning went to the page before this one is dropped.
    joiner?.add(piece);
    if (!isLast || joiner === undefined) return;
    const message = joiner.value as ToPanel<State>;
    joiner = undefined;
    receive(message);
  });
  post({ type: 'ready' });
}

/** After the first paint, since it takes long: until then the stylesheet draws its elements. */
async function loadToolkit(): Promise<void> {
  const { registerComponents } = await import('../components/toolkit');
  await registerComponents();
}
