import { setImmediate } from 'node:timers/promises';
import { commands, Disposable, EventEmitter, Uri } from 'vscode';
import type { ViewColumn, WebviewPanel } from 'vscode';
import { safeParse } from 'valibot';
import type { PanelJob } from '../protocol/jobs';
import { fromPanel } from '../protocol/panel';
import { begins, cutPieces } from '../protocol/pieces';
import type { SentPiece } from '../protocol/pieces';
import type {
  Answer,
  CallSchemas,
  CallsOf,
  FromPanel,
  PieceToPanel,
  Restore,
  ToPanel,
} from '../protocol/panel';
import type { PanelSession } from '../services/sessions/panel-session';
import { describeError } from '../services/report-error';
import { Throttle } from '../services/throttle';
import { saveImage } from './save-image';
import { panelHtml, webviewRoot } from './panel-html';
import type { PanelName } from './panel-html';

const pieceMessage = (sent: SentPiece): PieceToPanel => ({
  type: 'piece',
  sent: JSON.stringify(sent),
});

/** Handlers of the host for a panel's calls. */
export type Handlers<C extends CallsOf<C>> = {
  readonly [K in keyof C]: (
    ...args: Parameters<C[K]>
  ) => ReturnType<C[K]> | PromiseLike<Awaited<ReturnType<C[K]>>>;
};

/** Runs a command of the editor; its result is not sent to the webview. */
export async function runCommand(command: string, ...args: readonly unknown[]): Promise<void> {
  await commands.executeCommand(command, ...args);
}

/** Id of the job that a panel tells of. */
export const panelJobId = (job: PanelJob): string | undefined =>
  job.kind === 'idle' ? undefined : job.id;

/** Definition of a panel kind: bundle, tabs, state and calls. */
export interface PanelDefinition<
  Session extends PanelSession<State>,
  State extends object,
  C extends CallsOf<C>,
> {
  readonly name: PanelName;
  readonly viewType: string;
  /** Minimum time between state updates of a webview, in milliseconds; 100 if undefined. */
  readonly patchMilliseconds?: number;
  readonly getTitle: (session: Session) => string;
  readonly getRestore: (session: Session) => Restore;
  readonly calls: CallSchemas<C>;
  readonly createHandlers: (session: Session) => Handlers<C>;
}

/** One webview that shows a session, in a tab of its own or as a custom editor. */
export class SessionPanel<
  Session extends PanelSession<State>,
  State extends object,
  C extends CallsOf<C>,
> implements Disposable {
  readonly #panel: WebviewPanel;
  readonly #definition: PanelDefinition<Session, State, C>;
  readonly #disposables: Disposable;
  readonly #disposed = new EventEmitter<void>();
  readonly #changed = new Set<keyof State>();
  /** Keys of fields that are records. */
  readonly #grown = new Map<keyof State, Set<string>>();
  readonly #send: Throttle;
  /** Resolves when all messages so far are sent. */
  #sent = Promise.resolve();
  #session: Session;
  #listening: { dispose(): void };
  /** True once the webview's script runs and has received the state. */
  #ready = false;
  #isDisposed = false;

  public readonly onDidDispose = this.#disposed.event;

  public constructor(
    panel: WebviewPanel,
    extension: Uri,
    definition: PanelDefinition<Session, State, C>,
    session: Session,
  ) {
    const { name, patchMilliseconds = 100 } = definition;
    const { webview } = panel;
    this.#panel = panel;
    this.#definition = definition;
    this.#session = session;
    this.#send = new Throttle(() => {
      this.#sendChanges();
    }, patchMilliseconds);
    this.#listening = this.#listen(session);
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', `${name}-light.svg`),
      dark: Uri.joinPath(extension, 'media', `${name}-dark.svg`),
    };
    this.#disposables = Disposable.from(
      webview.onDidReceiveMessage((message: unknown) => {
        const { output, success } = safeParse(fromPanel, message);
        if (success) {
          this.#receive(output);
        }
      }),
      panel.onDidChangeViewState(() => {
        // A hidden webview is destroyed; when shown again, its script restarts and sends `ready`.
        this.#ready &&= panel.visible;
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
    );
    webview.html = panelHtml(name, webview, extension, definition.getTitle(session));
  }

  public get session(): Session {
    return this.#session;
  }

  public get visible(): boolean {
    return this.#panel.visible;
  }

  public get active(): boolean {
    return this.#panel.active;
  }

  /** View column of the tab; undefined while it is hidden. */
  public get viewColumn(): ViewColumn | undefined {
    return this.#panel.viewColumn;
  }

  public get ready(): boolean {
    return this.#ready;
  }

  /** Brings the tab to the front; the model may have changed on disk since. */
  public show(session: Session): void {
    if (session !== this.#session) {
      this.#listening.dispose();
      this.#session = session;
      this.#listening = this.#listen(session);
      this.#sendState();
    }
    this.#panel.reveal();
  }

  public dispose(): void {
    this.#isDisposed = true;
    this.#listening.dispose();
    this.#send.dispose();
    this.#disposables.dispose();
    this.#disposed.fire();
    this.#disposed.dispose();
    this.#panel.dispose();
  }

  #listen({ changed, grown }: Session): { dispose(): void } {
    return Disposable.from(
      changed.listen((fields) => {
        for (const field of fields) {
          this.#changed.add(field);
        }
        this.#send.trigger();
      }),
      grown.listen(({ field, key }) => {
        const keys = this.#grown.get(field) ?? new Set();
        this.#grown.set(field, keys.add(key));
        this.#send.trigger();
      }),
    );
  }

  #receive(message: FromPanel): void {
    if (message.type === 'ready') {
      this.#ready = true;
      this.#sendState();
      return;
    }
    if (message.type === 'image') {
      void saveImage(this.#panel.title, message.png);
      return;
    }
    void this.#answer(message.name, message.args).then((answer) => {
      // The state that the call changed is sent before the answer is used.
      this.#sendChanges();
      this.#post({ type: 'answer', id: message.id, answer });
    });
  }

  async #answer(name: string, args: readonly unknown[]): Promise<Answer> {
    const { calls, createHandlers } = this.#definition;
    try {
      if (!Object.hasOwn(calls, name)) {
        throw new Error(`There is no call ${name}.`);
      }
      const call = name as keyof C;
      const { output, success, issues } = safeParse(calls[call], args);
      if (!success) {
        throw new Error(`${name}: ${issues[0].message}`);
      }
      return { ok: await createHandlers(this.#session)[call](...output) };
    } catch (error) {
      return { error: describeError(error) };
    }
  }

  #sendState(): void {
    this.#changed.clear();
    this.#grown.clear();
    const restore = this.#definition.getRestore(this.#session);
    this.#post({ type: 'state', state: this.#session.snapshot(), restore });
  }

  #sendChanges(): void {
    if (!this.#ready || this.#changed.size + this.#grown.size === 0) {
      return;
    }
    const fields = [...this.#changed];
    const patch = this.#session.read(fields);
    const added: Partial<State> = {};
    for (const [field, keys] of this.#grown) {
      if (!this.#changed.has(field)) {
        added[field] = this.#session.readEntries(field, keys);
      }
    }
    this.#changed.clear();
    this.#grown.clear();
    this.#post({
      type: 'patch',
      patch,
      cleared: fields.filter((field) => patch[field] === undefined),
      added,
      restore: this.#definition.getRestore(this.#session),
    });
  }

  /** Sends messages in order; a long one does not delay others. */
  #post(message: ToPanel<State>): void {
    const post = async (): Promise<void> => this.#postPieces(message);
    this.#sent = this.#sent.then(post, post);
  }

  async #postPieces(message: ToPanel<State>): Promise<void> {
    for (const sent of cutPieces(message)) {
      if (this.#isDisposed) {
        return;
      }
      const isWhole = sent.isLast && begins(sent.piece);
      const posted = isWhole ? message : pieceMessage(sent);
      void this.#panel.webview.postMessage(posted);
      if (!sent.isLast) {
        await setImmediate();
      }
    }
  }
}
