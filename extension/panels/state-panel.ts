import { Disposable } from 'vscode';
import type { Uri, WebviewPanel } from 'vscode';
import type { Signal } from '../services/signal';
import { Throttle } from '../services/throttle';
import { Panel } from './panel';
import type { PanelKind } from './panel';

/** A session whose webview draws from one state, field by field. */
export interface StateSession<State> {
  /** Tells which fields of the state have changed. */
  readonly changed: Signal<readonly (keyof State)[]>;
  snapshot(): State;
}

/** What the webview is told of the state: all of it, or what has changed. */
type StateMessage<State> =
  | { readonly type: 'state'; readonly state: State }
  | {
      readonly type: 'patch';
      readonly patch: Partial<State>;
      readonly cleared: readonly (keyof State)[];
    };

/** A panel that tells its webview only what has changed, and not more often than a screen needs to be drawn. */
export abstract class StatePanel<
  Session extends StateSession<State>,
  State,
  From extends { readonly type: string },
  More = never,
> extends Panel<Session, From, StateMessage<State> | More> {
  readonly #changed = new Set<keyof State>();
  readonly #send: Throttle;
  #session: Session;
  #listening: Disposable;

  protected constructor(
    panel: WebviewPanel,
    extension: Uri,
    kind: PanelKind & { readonly patchMilliseconds: number },
    title: string,
    session: Session,
  ) {
    super(panel, extension, kind, title);
    this.#session = session;
    this.#send = new Throttle(() => {
      if (this.ready) {
        this.sendChanges();
      }
    }, kind.patchMilliseconds);
    this.#listening = this.listen(session);
    this.disposables.push(this.#send);
  }

  public get session(): Session {
    return this.#session;
  }

  /** Brings the tab to the front; the model may have changed on disk since. */
  public show(session: Session): void {
    if (session !== this.#session) {
      this.#listening.dispose();
      this.#session = session;
      this.#listening = this.listen(session);
      this.sendState();
    }
    this.reveal();
  }

  public override dispose(): void {
    this.#listening.dispose();
    super.dispose();
  }

  protected listen({ changed }: Session): Disposable {
    return Disposable.from(
      changed.listen((fields) => {
        for (const field of fields) {
          this.#changed.add(field);
        }
        this.triggerSend();
      }),
    );
  }

  /** Sends what has changed, soon. */
  protected triggerSend(): void {
    this.#send.trigger();
  }

  protected sendState(): void {
    this.#changed.clear();
    this.post({ type: 'state', state: this.#session.snapshot() });
  }

  /** @returns which fields of the state were sent */
  protected sendChanges(): ReadonlySet<keyof State> {
    const changed = new Set(this.#changed);
    if (changed.size > 0) {
      const state = this.#session.snapshot();
      const fields = [...changed];
      this.#changed.clear();
      this.post({
        type: 'patch',
        // Messages travel as JSON, which drops `undefined`.
        patch: Object.fromEntries(fields.map((field) => [field, state[field]])) as Partial<State>,
        cleared: fields.filter((field) => state[field] === undefined),
      });
    }
    return changed;
  }
}
