import type { Uri, WebviewPanel } from 'vscode';
import type { Signal } from '../services/signal';
import { Panel } from './panel';
import type { PanelKind } from './panel';

/** A session that says itself what its webview is told. */
export interface MessageSession<To> {
  readonly messages: Signal<To>;
  /** Everything that is known, for a webview that has just been made. */
  snapshot(): readonly To[];
}

/** A panel that hands on what its session says. */
export abstract class MessagePanel<
  Session extends MessageSession<To>,
  From extends { readonly type: string },
  To,
> extends Panel<Session, From, To> {
  public readonly session: Session;

  protected constructor(
    panel: WebviewPanel,
    extension: Uri,
    kind: PanelKind,
    title: string,
    session: Session,
  ) {
    super(panel, extension, kind, title);
    this.session = session;
    this.disposables.push(
      session.messages.listen((message) => {
        this.post(message);
      }),
    );
  }

  protected sendState(): void {
    for (const message of this.session.snapshot()) {
      this.post(message);
    }
  }
}
